"""A small Spark Connect client: one SQL text in, one Arrow table out.

The server uses this instead of databricks-connect's session, for that one keeps a session per process, and a test in
this very process wants to make its own.
"""

import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pyarrow as pa
from pyspark.sql.connect import proto

from tests.workspace.spark_error import SparkError

_NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Spark:
    """A connection to a Spark Connect server, safe for many threads."""

    def __init__(self, port: int, session_id: str) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=_NO_LIMIT)
        self._stub = proto.base_pb2_grpc.SparkConnectServiceStub(self._channel)
        self._session_id = session_id
        self._user = proto.UserContext(user_id="")

    def sql(self, text: str, arguments: "dict[str, Any] | list[Any] | None" = None, *, tag: str = "") -> pa.Table:
        """Run a statement. Arguments are Literal messages, by name or position; a running `tag` can be interrupted."""
        command = proto.SqlCommand(sql=text)
        if isinstance(arguments, dict):
            for name, value in arguments.items():
                command.args[name].CopyFrom(value)
        elif arguments:
            command.pos_args.extend(arguments)
        relation = self._relation(proto.Plan(command=proto.Command(sql_command=command)), tag)
        batches, schema = [], None
        for response in self._execute(proto.Plan(root=relation), tag):
            if response.HasField("arrow_batch"):
                with pa.ipc.open_stream(response.arrow_batch.data) as reader:
                    schema = schema or reader.schema
                    batches.extend(reader)
        return pa.Table.from_batches(batches, schema) if schema is not None else pa.table({})

    def interrupt(self, tag: str) -> None:
        """Stop what runs under a tag."""
        kind = proto.InterruptRequest.InterruptType.INTERRUPT_TYPE_TAG
        request = proto.InterruptRequest(
            session_id=self._session_id, user_context=self._user, interrupt_type=kind, operation_tag=tag
        )
        self._stub.Interrupt(request)

    def configure(self, settings: dict[str, str]) -> None:
        """Set the session's settings."""
        pairs = [proto.KeyValue(key=key, value=value) for key, value in settings.items()]
        operation = proto.ConfigRequest.Operation(set=proto.ConfigRequest.Set(pairs=pairs))
        self._stub.Config(
            proto.ConfigRequest(session_id=self._session_id, user_context=self._user, operation=operation),
            wait_for_ready=True,
            timeout=20,
        )

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _relation(self, plan: Any, tag: str) -> Any:
        for response in self._execute(plan, tag):
            if response.HasField("sql_command_result"):
                return response.sql_command_result.relation
        raise SparkError("the engine gave no result", "SparkRuntimeException")

    def _execute(self, plan: Any, tag: str) -> Iterator[Any]:
        request = proto.ExecutePlanRequest(
            session_id=self._session_id,
            user_context=self._user,
            operation_id=str(uuid.uuid4()),
            plan=plan,
            tags=[tag] if tag else [],
        )
        try:
            yield from self._stub.ExecutePlan(request)
        except grpc.RpcError as error:
            raise _spark_error(error) from error


def _spark_error(error: Any) -> SparkError:
    """Read Spark's exception class from the error's details."""
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else []:
        if detail.Unpack(info):
            return SparkError(status.message, info.reason.rsplit(".", 1)[-1])
    return SparkError(error.details() or str(error), "SparkConnectGrpcException")
