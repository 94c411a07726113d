"""What runs beside generated code, in a child process or in a Databricks job; imports nothing from outside."""
