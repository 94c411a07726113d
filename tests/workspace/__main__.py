"""`python -m tests.workspace`: a workspace to work with by hand. Ctrl-C stops it and removes everything."""

import argparse
import signal
import threading
from types import FrameType

from tests.workspace.front import Exchange
from tests.workspace.workspace import Workspace


def show(exchange: Exchange) -> None:
    """One request, live."""
    fault = f"  fault: {exchange.fault}" if exchange.fault else ""
    print(f"{exchange.status or '---'} {exchange.method:6} {exchange.path}{fault}", flush=True)


def main() -> None:
    """Start, print the environment, serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m tests.workspace", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="a fixed port instead of a free one")
    parser.add_argument("--seed", action="store_true", help="load sample tables, a Genie space, a job")
    parser.add_argument("--spark", action="store_true", help="start the engine now and print SPARK_REMOTE")
    parser.add_argument("--quiet", action="store_true", help="do not show the requests")
    asked = parser.parse_args()
    ended = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with Workspace.start(port=asked.port) as ws:
        environment = {**ws.env, "SPARK_REMOTE": ws.spark_url} if asked.spark else ws.env
        for name, value in environment.items():
            print(f"export {name}={value}")
        if asked.seed:
            for line in seeded(ws):
                print(f"# {line}")
        print(f"# ready in {ws.seconds_to_start:.2f} s; Ctrl-C ends it", flush=True)
        if not asked.quiet:
            ws.listeners.append(show)
        ended.wait()


def seeded(ws: Workspace) -> list[str]:
    """The sample content."""
    from tests.workspace.seed import seed

    return seed(ws)


if __name__ == "__main__":
    main()
