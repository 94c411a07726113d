"""What can go wrong in the machine itself. Code that fails is a result, not one of these.

AgentError                  anything below; its text names what to change
├── ModelUnavailable        no configured model answered
│   ├── TooLong             what the model was asked with does not fit it
│   ├── Withheld            a provider's filter blocked the question
│   └── BrokenOff           the stream ended before the reply did
├── BackendUnavailable      a run can't be started, reached or stopped
│   └── RunLost             a run was begun before, and what it left can't be found
├── BudgetExceeded          a reservation did not fit the ledger
├── HostError               what a run asked its host was refused or failed; the code is told
├── Cancelled               the request was cancelled while something was waited for
├── OutOfTime               the turn's time was over while something was waited for
└── InvalidRequest          the request itself can't be served
    └── NotFound            what it names is not there, or is somebody else's
"""


class AgentError(Exception):
    """Base of all."""


class ModelUnavailable(AgentError):
    pass


class TooLong(ModelUnavailable):
    pass


class Withheld(ModelUnavailable):
    pass


class BrokenOff(ModelUnavailable):
    pass


class BackendUnavailable(AgentError):
    pass


class RunLost(BackendUnavailable):
    pass


class BudgetExceeded(AgentError):
    pass


class HostError(AgentError):
    pass


class Cancelled(AgentError):
    pass


class OutOfTime(AgentError):
    pass


class InvalidRequest(AgentError):
    pass


class NotFound(InvalidRequest):
    pass
