"""Spark Connect as databricks-connect meets it: Sail, with the SQL of a warehouse and with sessions that have owners.

A gRPC server that passes messages on to Sail as they are, but for these: a plan of a session that nobody opened, or
that was stopped, is refused; a plan that touches what the session's owner may not is refused; a SQL text that a
warehouse would treat specially (DESCRIBE HISTORY, `table_changes`, `information_schema`, GRANT, a change of a table
with a change data feed) is answered by the SQL engine, as a local relation.
"""

import io
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pyarrow as pa
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from pyspark.sql.connect import proto

from tests.workspace.sessions import Sessions, SparkSession
from tests.workspace.spark import Spark
from tests.workspace.sql import access, feed, metadata
from tests.workspace.sql.engine import Query, Session, SqlEngine
from tests.workspace.sql.namespace import Namespace
from tests.workspace.sql.problems import SqlProblem

if TYPE_CHECKING:
    from tests.workspace.sail import Sail

SERVICE = "/spark.connect.SparkConnectService/"
EXECUTE = f"{SERVICE}ExecutePlan"
_STREAMED_ANSWERS = (EXECUTE, f"{SERVICE}ReattachExecute")
_STREAMED_REQUESTS = (f"{SERVICE}AddArtifacts",)
_REQUESTS = {
    f"{SERVICE}AnalyzePlan": proto.AnalyzePlanRequest,
    f"{SERVICE}Config": proto.ConfigRequest,
    f"{SERVICE}Interrupt": proto.InterruptRequest,
    f"{SERVICE}ReleaseSession": proto.ReleaseSessionRequest,
}
_NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_SPECIAL = re.compile(
    r"\s*(?:desc(?:ribe)?\s+(?:history|detail)|grant|revoke|show\s+grants?)\b"
    r"|.*\b(?:table_changes|information_schema|enableChangeDataFeed)\b",
    re.IGNORECASE | re.DOTALL,
)


_USE = re.compile(rf"\s*(?:use|set)\s+(?:(catalog)\s+|(?:schema|database)\s+)?{metadata.NAME}\s*;?\s*$", re.IGNORECASE)


class Connect:
    """The server, on a free port of loopback."""

    def __init__(self, sail: "Callable[[], Sail]", engine: SqlEngine, sessions: Sessions) -> None:
        self._sail = sail
        self._engine = engine
        self._sessions = sessions
        self._channel = grpc.insecure_channel(f"127.0.0.1:{sail().port}", options=_NO_LIMIT)
        self._server = grpc.server(ThreadPoolExecutor(64), options=_NO_LIMIT)
        self._server.add_generic_rpc_handlers((_Handler(self._handler),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def stop(self) -> None:
        """Close."""
        self._server.stop(0.2).wait(2)
        self._channel.close()

    def _handler(self, method: str) -> grpc.RpcMethodHandler:
        if method in _STREAMED_REQUESTS:
            return grpc.stream_unary_rpc_method_handler(self._passed(method, self._channel.stream_unary(method)))
        if method in _STREAMED_ANSWERS:
            streamed = self._streamed(method)
            return grpc.unary_stream_rpc_method_handler(self._execute(streamed) if method == EXECUTE else streamed)
        return grpc.unary_unary_rpc_method_handler(self._passed(method, self._channel.unary_unary(method)))

    def _passed(self, method: str, call: Any) -> Callable[[Any, grpc.ServicerContext], bytes]:
        kind = _REQUESTS.get(method)

        def act(request: Any, context: grpc.ServicerContext) -> bytes:
            asked = kind.FromString(request) if kind is not None else None
            if isinstance(asked, proto.ReleaseSessionRequest) and self._sessions.find(asked.session_id) is None:
                return bytes(proto.ReleaseSessionResponse(session_id=asked.session_id).SerializeToString())
            if asked is not None:
                self._enter(asked, context)
            try:
                return bytes(call(request))
            except grpc.RpcError as error:
                _fail(context, error)
                raise AssertionError from error

        return act

    def _enter(self, request: Any, context: grpc.ServicerContext) -> SparkSession:
        """The session that a request names, up to date; refused when there is none. `spark.stop()` ends it."""
        session = self._sessions.find(request.session_id)
        if session is None:
            message = f"[INVALID_HANDLE.SESSION_CLOSED] The session {request.session_id} was closed or never opened."
            context.abort(grpc.StatusCode.INTERNAL, message)
        assert session is not None
        if isinstance(request, proto.ReleaseSessionRequest):
            session.released = True
        else:
            self._sessions.follow(session)
        return session

    def _streamed(self, method: str) -> Callable[[bytes, grpc.ServicerContext], Iterator[bytes]]:
        call = self._channel.unary_stream(method)

        def act(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            running = call(request)
            context.add_callback(running.cancel)
            try:
                yield from running
            except grpc.RpcError as error:
                _fail(context, error)

        return act

    def _execute(self, passed: Any) -> Callable[[bytes, grpc.ServicerContext], Iterator[bytes]]:
        def act(data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            request = proto.ExecutePlanRequest.FromString(data)
            session = self._enter(request, context)
            text = _text(request.plan.command.sql_command)
            try:
                here = Session(session.namespace, session.user)
                access.check_plan(self._engine, request.plan, here)
                special = bool(text) and bool(_SPECIAL.match(text) or feed.changes(self._engine, text, here))
            except SqlProblem as problem:
                context.abort_with_status(rpc_status.to_status(_status(problem)))
            if special:
                yield from self._answer(request, text, session, context)
                return
            # The last message tells the client that all is done: what was made must be known to the others before.
            held: bytes | None = None
            for message in passed(self._spelled(request, text), context):
                if held is not None:
                    yield held
                held = message
            self._tell(request.plan, session)
            if held is not None:
                yield held

        return act

    def _spelled(self, request: Any, text: str) -> bytes:
        """The request as Sail reads it: its USE wants the word SCHEMA, and the catalog apart."""
        match = _USE.match(text)
        if match and not match[1]:
            command, given = request.plan.command.sql_command, metadata.parts(match[2])
            if len(given) == 2:
                spark = Spark(self._sail().port, request.session_id)
                spark.sql(f"USE CATALOG `{given[0]}`")
                spark.close()
            fresh = f"USE SCHEMA `{given[-1]}`"
            if command.HasField("input"):
                command.input.sql.query = fresh
            else:
                command.sql = fresh
        return bytes(request.SerializeToString())

    def _tell(self, plan: Any, session: SparkSession) -> None:
        """Tell the other sessions what a plan made or dropped."""
        text, made = _sql(plan.command.sql_command), access.created(plan)
        session.namespace = _moved(text, plan, session.namespace)
        if not text and not made:
            return
        self._engine.access.made(session.user, access.owned(text, plan, session.namespace))
        spark = Spark(self._sail().port, session.id)
        try:
            self._sessions.shaped(text, spark, session.id)
            for name in made:
                self._sessions.written(name, spark, session.id)
        finally:
            spark.close()

    def _answer(self, request: Any, text: str, session: SparkSession, context: grpc.ServicerContext) -> Iterator[bytes]:
        """The rows of a special statement."""
        try:
            table = self._engine.run(Query(text), Session(session.namespace, session.user))
        except SqlProblem as problem:
            context.abort_with_status(rpc_status.to_status(_status(problem)))
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        relation = proto.Relation(local_relation=proto.LocalRelation(data=sink.getvalue()))
        about = {"session_id": request.session_id, "operation_id": request.operation_id}
        result = proto.ExecutePlanResponse.SqlCommandResult(relation=relation)
        yield proto.ExecutePlanResponse(**about, sql_command_result=result).SerializeToString()
        done = proto.ExecutePlanResponse.ResultComplete()
        yield proto.ExecutePlanResponse(**about, result_complete=done).SerializeToString()


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, find: Callable[[str], grpc.RpcMethodHandler]) -> None:
        self._find = find

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a method of the service."""
        method = handler_call_details.method
        return self._find(method) if method.startswith(SERVICE) else None


def _text(command: Any) -> str:
    """The SQL of a command without arguments; those with arguments are left to Sail."""
    sql = command.input.sql if command.HasField("input") else command
    if sql.args or sql.pos_args or sql.named_arguments or sql.pos_arguments:
        return ""
    return _sql(command)


def _sql(command: Any) -> str:
    return str(command.input.sql.query if command.HasField("input") else command.sql)


def _moved(text: str, plan: Any, here: Namespace) -> Namespace:
    """Where a session is after USE, or after the catalog's methods of that kind."""
    listed, match = plan.root.catalog, _USE.match(text)
    catalog = listed.set_current_catalog.catalog_name or (match and match[1] and match[2])
    schema = listed.set_current_database.db_name or (match and not match[1] and match[2])
    if catalog:
        return Namespace(metadata.parts(catalog)[-1], "default")
    if not schema:
        return here
    given = metadata.parts(schema)
    return Namespace(given[0] if len(given) == 2 else here.catalog, given[-1])


def _status(problem: SqlProblem) -> Any:
    """A problem as Spark's AnalysisException."""
    kind = "org.apache.spark.sql.AnalysisException"
    about = {"errorClass": problem.error_class, "sqlState": problem.state, "classes": json.dumps([kind])}
    info = error_details_pb2.ErrorInfo(reason=kind, domain="org.apache.spark", metadata=about)
    status = status_pb2.Status(code=code_pb2.INTERNAL, message=str(problem))
    status.details.add().Pack(info)
    return status


def _fail(context: grpc.ServicerContext, error: Any) -> None:
    """Pass an error on with its details, from which the client makes Spark's exceptions."""
    context.set_trailing_metadata(error.trailing_metadata() or ())
    context.abort(error.code(), error.details())
