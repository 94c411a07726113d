"""Bringing the agent into a workspace: one table of resources, as a bundle's file or by the SDK."""
