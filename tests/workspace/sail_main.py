"""The process in which Sail runs: prints its port, ends when its standard input does."""

import sys

from pysail.spark import SparkConnectServer


def main() -> None:
    """Serve until nobody holds the other end of standard input."""
    server = SparkConnectServer("127.0.0.1", int(sys.argv[1]))
    server.start(background=True)
    address = server.listening_address
    assert address is not None
    print(address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
