"""What can go wrong with a store, and what to do about it.

StoreError
├── NotADatabase        the file holds something else
├── NewerSchema         written by a newer version of this package
├── StoreLocked         another process has the file (names it)
├── StoreFull           the disk is full, or fails
├── StoreReadOnly       the file or its folder can't be written
├── StoreUnavailable    the server can't be reached, or refuses the credentials
├── CorruptRow          a row doesn't decode
├── BlockedType         a saved object's class isn't among those that may be revived
├── DamagedLog          steps in the write-ahead log can't be read
├── ThreadBusy          another run holds the thread (names it)
└── LeaseLost           this run no longer holds the thread
"""

from collections.abc import Sequence


class StoreError(Exception):
    """Every message names the store and what to do."""


class NotADatabase(StoreError):
    def __init__(self, path: str, wanted: str) -> None:
        super().__init__(
            f"{path} is not a {wanted} checkpoint file: it holds something else. "
            "Give another path, or move this file away; it was not touched."
        )


class NewerSchema(StoreError):
    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(
            f"{path} has schema version {found}, this program knows up to {known}. "
            "Upgrade the program; the file was not touched."
        )


class StoreLocked(StoreError):
    def __init__(self, path: str, holder: str, remedy: str) -> None:
        super().__init__(f"{path} is in use by {holder}. {remedy}")
        self.holder = holder


class StoreFull(StoreError):
    def __init__(self, path: str, detail: str) -> None:
        super().__init__(
            f"{path} can't grow, the disk is full or fails ({detail}). What was saved before is safe, this step "
            "was not saved. Free some space (prune, vacuum, or delete other files) and run the step again."
        )


class StoreReadOnly(StoreError):
    def __init__(self, path: str, detail: str) -> None:
        super().__init__(
            f"{path} can't be opened for writing ({detail}). Check that its folder exists and who owns it, "
            "or give another path."
        )


class StoreUnavailable(StoreError):
    def __init__(self, name: str, detail: str) -> None:
        super().__init__(
            f"{name} can't be used ({detail}). Check that the server is up, its address and your credentials; "
            "steps that were not acknowledged can be run again."
        )


class CorruptRow(StoreError):
    def __init__(self, path: str, what: str, detail: str) -> None:
        super().__init__(
            f"{path}: {what} doesn't decode ({detail}). The other rows are not affected: go on from an earlier "
            "checkpoint (list the thread with `before` this one), restore the file from a backup, or delete the thread."
        )
        self.what = what


class BlockedType(StoreError):
    def __init__(self, kinds: Sequence[tuple[str, str]]) -> None:
        lines = ", ".join(repr(kind) for kind in dict.fromkeys(kinds))
        super().__init__(
            f"the state holds objects that may not be revived: open the saver with allowed_types=[{lines}]. "
            "What is saved is not affected."
        )
        self.kinds = tuple(dict.fromkeys(kinds))


class DamagedLog(StoreError):
    def __init__(self, path: str, detail: str, kept: str) -> None:
        super().__init__(
            f"{path}: acknowledged steps can't be read from its log ({detail}). The log is kept as {kept}. Restore "
            "both files from a backup, or open the store again to go on without these steps."
        )


class ThreadBusy(StoreError):
    def __init__(self, thread_id: str, holder: str, waited: float) -> None:
        since = f" after {waited:.1f} s" if waited else ""
        super().__init__(
            f"thread {thread_id!r} is busy{since}: {holder} holds it. Wait for it, stop that run, "
            "or ask with policy 'fork' to go on in a copy."
        )
        self.thread_id = thread_id
        self.holder = holder


class LeaseLost(StoreError):
    def __init__(self, thread_id: str, detail: str) -> None:
        super().__init__(
            f"this run no longer holds thread {thread_id!r} ({detail}), so its step was not saved. "
            "Start the request again."
        )
        self.thread_id = thread_id
