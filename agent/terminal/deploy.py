"""`deploy`, `status`, `destroy`: the agent in a workspace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.settings.error import SettingsError
from agent.terminal.options import ROOT, Options, load

if TYPE_CHECKING:
    from agent.config import Settings
    from agent.deploying.workspace import Deployment

Vars = Annotated[
    list[str] | None, typer.Option("--var", help="A variable of databricks.yml, as NAME=VALUE. Can be repeated.")
]


def register(app: typer.Typer) -> None:
    app.command()(deploy)
    app.command()(status)
    app.command()(destroy)


def deploy(
    context: typer.Context,
    var: Vars = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print resources, grants and what costs.")] = False,
    checks_only: Annotated[bool, typer.Option("--checks-only", help="Look whether all it needs is there.")] = False,
    skip_deploy: Annotated[bool, typer.Option("--skip-deploy", help="Only --run.")] = False,
    run: Annotated[bool, typer.Option("--run", help="Start the orchestrator's job afterwards.")] = False,
    prompt: Annotated[str, typer.Option("--prompt", help="What --run asks; else the job's file is asked.")] = "",
    grant: Annotated[bool, typer.Option("--grant", help="Run the grants too; you have to be allowed to.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Serve the version before, and nothing else.")] = False,
    force_update_secrets: Annotated[
        bool, typer.Option("--force-update-secrets", help="Overwrite the jobs' ids in the secret scope.")
    ] = False,
    wheel: Annotated[Path | None, typer.Option("--wheel", help="Our wheel; else the newest in dist/.")] = None,
) -> None:
    """Bring the agent into a workspace: three jobs, a Volume, an endpoint. Doing it again changes what differs."""
    settings, values = read(context, var, only_shown=dry_run)
    if dry_run:
        from agent.deploying.plan import describe

        typer.echo(describe(values))
        return
    deployment = open_deployment(settings, values)
    if checks_only:
        deployment.check()
        typer.echo("All is there that a deployment needs.")
    elif rollback:
        deployment.rollback()
    else:
        if not skip_deploy:
            deployment.deploy(find_wheel(wheel), grant, force_update_secrets)
        if run:
            typer.echo(f"run {deployment.run(prompt)} of the orchestrator was started")


def status(context: typer.Context, var: Vars = None) -> int:
    """What is deployed, and what is missing."""
    found = open_deployment(*read(context, var)).status()
    for one in found:
        about = one.id or "" if one.kind == "job" else one.about
        typer.echo(f"{'there' if one.id else 'MISSING':8}{one.kind} {one.name} {about}".rstrip())
    return 0 if all(one.id for one in found) else 2


def destroy(
    context: typer.Context,
    var: Vars = None,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="Also the model, the secret scope, and the schemas that it made."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Remove the endpoint, the jobs and the notebooks; files, tables and the model stay without --purge."""
    settings, values = read(context, var)
    if not yes:
        typer.confirm(f"Remove {values['name']}{' with all its files and tables' if purge else ''}?", abort=True)
    open_deployment(settings, values).destroy(purge)


def read(context: typer.Context, var: list[str] | None, only_shown: bool = False) -> tuple[Settings, dict[str, str]]:
    from agent.deploying.variables import resolve

    options: Options = context.find_root().obj
    settings = load(options).settings
    return settings, resolve(settings, dict(pair(text) for text in var or ()), only_shown)


def pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--var {text}: write it as NAME=VALUE, such as catalog=main")
    return name, value


def open_deployment(settings: Settings, values: dict[str, str]) -> Deployment:
    from agent.deploying.workspace import Deployment
    from agent.workspace.connection import open_client

    client = open_client(settings.databricks.profile, os.environ)
    return Deployment(client, values, settings, typer.echo)


def find_wheel(named: Path | None) -> Path:
    if named is not None:
        if not named.is_file():
            raise SettingsError(f"--wheel {named}: there is no such file")
        return named
    built = sorted((ROOT / "dist").glob("databricks_rlm_agent-*.whl"), key=lambda file: file.stat().st_mtime)
    if not built:
        raise SettingsError("there is no wheel in dist/: `make wheel` builds it, or name one with --wheel")
    return built[-1]
