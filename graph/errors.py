"""What can go wrong in the machine itself. Code that fails is a result, not one of these.

AgentError                  anything below; its text names what to change
├── ModelUnavailable        no configured model answered
├── BackendUnavailable      a run can't be started, reached or stopped
├── BudgetExceeded          a reservation did not fit the ledger
├── HostError               what a run asked its host was refused or failed; the code is told
├── Cancelled               the request was cancelled while something was waited for
└── InvalidRequest          the request itself can't be served
    └── NotFound            what it names is not there, or is somebody else's
"""


class AgentError(Exception):
    """Base of all."""


class ModelUnavailable(AgentError):
    pass


class BackendUnavailable(AgentError):
    pass


class BudgetExceeded(AgentError):
    pass


class HostError(AgentError):
    pass


class Cancelled(AgentError):
    pass


class InvalidRequest(AgentError):
    pass


class NotFound(InvalidRequest):
    pass
