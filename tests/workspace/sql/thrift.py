"""HiveServer2's Thrift service as a Databricks warehouse speaks it: direct results, Arrow batches, cloud fetch."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import lz4.frame
import pyarrow as pa
from databricks.sql.thrift_api.TCLIService import TCLIService
from databricks.sql.thrift_api.TCLIService import ttypes as t
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TTransport import TMemoryBuffer

from tests.workspace.routes.statements import result_link
from tests.workspace.sql.engine import Query, Session
from tests.workspace.sql.namespace import Namespace
from tests.workspace.sql.parameters import Parameter
from tests.workspace.sql.statement import CHUNK_ROWS, Statement, encoded
from tests.workspace.sql.types import column_type

VERSION = t.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V7
_SUCCESS = t.TStatusCode.SUCCESS_STATUS
_STATES = {
    "PENDING": t.TOperationState.PENDING_STATE,
    "RUNNING": t.TOperationState.RUNNING_STATE,
    "SUCCEEDED": t.TOperationState.FINISHED_STATE,
    "FAILED": t.TOperationState.ERROR_STATE,
    "CANCELED": t.TOperationState.CANCELED_STATE,
    "CLOSED": t.TOperationState.CLOSED_STATE,
}
_TYPES = {
    "LONG": t.TTypeId.BIGINT_TYPE,
    "INT": t.TTypeId.INT_TYPE,
    "SHORT": t.TTypeId.SMALLINT_TYPE,
    "BYTE": t.TTypeId.TINYINT_TYPE,
    "DOUBLE": t.TTypeId.DOUBLE_TYPE,
    "FLOAT": t.TTypeId.FLOAT_TYPE,
    "BOOLEAN": t.TTypeId.BOOLEAN_TYPE,
    "DATE": t.TTypeId.DATE_TYPE,
    "TIMESTAMP": t.TTypeId.TIMESTAMP_TYPE,
    "DECIMAL": t.TTypeId.DECIMAL_TYPE,
    "BINARY": t.TTypeId.BINARY_TYPE,
    "ARRAY": t.TTypeId.ARRAY_TYPE,
    "STRUCT": t.TTypeId.STRUCT_TYPE,
    "MAP": t.TTypeId.MAP_TYPE,
    "STRING": t.TTypeId.STRING_TYPE,
    "NULL": t.TTypeId.NULL_TYPE,
    "INTERVAL": t.TTypeId.INTERVAL_DAY_TIME_TYPE,
}
DIRECT_WAIT = 5.0


@dataclass
class Operation:
    """A statement as the connector sees it: how it wants the rows, and how far it has read."""

    statement: Statement
    lz4: bool
    links: bool
    offset: int = 0


class Operations:
    """Sessions and operations of one workspace, by their handles."""

    def __init__(self) -> None:
        self.sessions: dict[bytes, Session] = {}
        self.operations: dict[bytes, Operation] = {}


class Service:
    """The calls of the Thrift service. One is made per request; what lasts is in Operations."""

    def __init__(self, ws: Any, warehouse_id: str, user: str) -> None:
        self._ws = ws
        self._warehouse = warehouse_id
        self._user = user
        self._kept: Operations = ws.thrift

    def OpenSession(self, req: Any) -> Any:  # noqa: N802 - the protocol's names
        """A session with a namespace of its own."""
        handle = t.TSessionHandle(sessionId=_handle(), serverProtocolVersion=VERSION)
        wanted = req.initialNamespace
        namespace = Namespace((wanted and wanted.catalogName) or "main", (wanted and wanted.schemaName) or "default")
        self._kept.sessions[handle.sessionId.guid] = Session(namespace, self._user, lasts=True)
        return t.TOpenSessionResp(
            status=_ok(),
            serverProtocolVersion=VERSION,
            sessionHandle=handle,
            canUseMultipleCatalogs=True,
            initialNamespace=t.TNamespace(catalogName=namespace.catalog, schemaName=namespace.schema),
        )

    def CloseSession(self, req: Any) -> Any:  # noqa: N802
        """Forget a session."""
        self._kept.sessions.pop(req.sessionHandle.sessionId.guid, None)
        return t.TCloseSessionResp(status=_ok())

    def ExecuteStatement(self, req: Any) -> Any:  # noqa: N802
        """Run a statement; its first rows come with the answer if it is quick."""
        session = self._kept.sessions.get(req.sessionHandle.sessionId.guid)
        if session is None:
            return t.TExecuteStatementResp(status=_invalid("the session does not exist or has been closed"))
        statement = self._ws.statements.start(
            Query(req.statement, _parameters(req.parameters)),
            session,
            before=lambda: self._ws.warehouses.await_running(self._warehouse),
        )
        handle = t.TOperationHandle(
            operationId=_handle(), operationType=t.TOperationType.EXECUTE_STATEMENT, hasResultSet=True
        )
        operation = Operation(statement, bool(req.canDecompressLZ4Result), bool(req.canDownloadResult))
        self._kept.operations[handle.operationId.guid] = operation
        answer = t.TExecuteStatementResp(status=_ok(), operationHandle=handle)
        if req.getDirectResults and statement.wait(DIRECT_WAIT):
            answer.directResults = self._direct(operation, req.getDirectResults.maxRows)
        return answer

    def GetOperationStatus(self, req: Any) -> Any:  # noqa: N802
        """Where a statement stands."""
        operation = self._operation(req)
        operation.statement.wait(0.2)
        return _status(operation.statement)

    def GetResultSetMetadata(self, req: Any) -> Any:  # noqa: N802
        """The columns."""
        return _metadata(self._operation(req))

    def FetchResults(self, req: Any) -> Any:  # noqa: N802
        """The next rows, or links to all of them."""
        return self._fetch(self._operation(req), req.maxRows)

    def CloseOperation(self, req: Any) -> Any:  # noqa: N802
        """Let go of a result; again if you like."""
        operation = self._kept.operations.pop(req.operationHandle.operationId.guid, None)
        if operation:
            operation.statement.close()
        return t.TCloseOperationResp(status=_ok())

    def CancelOperation(self, req: Any) -> Any:  # noqa: N802
        """Cancel a statement."""
        self._operation(req).statement.cancel()
        return t.TCancelOperationResp(status=_ok())

    def GetCatalogs(self, req: Any) -> Any:  # noqa: N802
        """The catalogs' names."""
        return self._listing(
            req,
            "SELECT catalog_name AS TABLE_CAT FROM system.information_schema.catalogs ORDER BY 1",
            t.TGetCatalogsResp,
        )

    def GetSchemas(self, req: Any) -> Any:  # noqa: N802
        """The schemas' names."""
        where = f"{_like('catalog_name', req.catalogName)} AND {_like('schema_name', req.schemaName)}"
        text = (
            "SELECT schema_name AS TABLE_SCHEM, catalog_name AS TABLE_CATALOG "
            f"FROM {_source(req)}.schemata WHERE {where} ORDER BY 2, 1"
        )
        return self._listing(req, text, t.TGetSchemasResp)

    def GetTables(self, req: Any) -> Any:  # noqa: N802
        """The tables' names."""
        where = " AND ".join(
            _like(column, wanted)
            for column, wanted in (
                ("table_catalog", req.catalogName),
                ("table_schema", req.schemaName),
                ("table_name", req.tableName),
            )
        )
        text = (
            "SELECT table_catalog AS TABLE_CAT, table_schema AS TABLE_SCHEM, table_name AS TABLE_NAME, "
            "CASE WHEN table_type = 'VIEW' THEN 'VIEW' ELSE 'TABLE' END AS TABLE_TYPE, '' AS REMARKS "
            f"FROM {_source(req)}.tables WHERE {where} ORDER BY 4, 1, 2, 3"
        )
        return self._listing(req, text, t.TGetTablesResp)

    def GetColumns(self, req: Any) -> Any:  # noqa: N802
        """The columns of tables."""
        where = " AND ".join(
            _like(column, wanted)
            for column, wanted in (
                ("table_catalog", req.catalogName),
                ("table_schema", req.schemaName),
                ("table_name", req.tableName),
                ("column_name", req.columnName),
            )
        )
        text = (
            "SELECT table_catalog AS TABLE_CAT, table_schema AS TABLE_SCHEM, table_name AS TABLE_NAME, "
            "column_name AS COLUMN_NAME, data_type AS TYPE_NAME, ordinal_position AS ORDINAL_POSITION, "
            f"is_nullable AS IS_NULLABLE FROM {_source(req)}.columns WHERE {where} ORDER BY 1, 2, 3, 6"
        )
        return self._listing(req, text, t.TGetColumnsResp)

    def _listing(self, req: Any, text: str, answer: Any) -> Any:
        session = self._kept.sessions[req.sessionHandle.sessionId.guid]
        statement = self._ws.statements.start(Query(text), session)
        statement.wait(None)
        handle = t.TOperationHandle(operationId=_handle(), operationType=t.TOperationType.GET_TABLES, hasResultSet=True)
        operation = Operation(statement, lz4=False, links=False)
        self._kept.operations[handle.operationId.guid] = operation
        return answer(status=_ok(), operationHandle=handle, directResults=self._direct(operation, None))

    def _operation(self, req: Any) -> Operation:
        return self._kept.operations[req.operationHandle.operationId.guid]

    def _direct(self, operation: Operation, rows: int | None) -> Any:
        statement = operation.statement
        if statement.state != "SUCCEEDED":
            return t.TSparkDirectResults(operationStatus=_status(statement))
        return t.TSparkDirectResults(
            operationStatus=_status(statement),
            resultSetMetadata=_metadata(operation),
            resultSet=self._fetch(operation, rows),
        )

    def _fetch(self, operation: Operation, rows: int | None) -> Any:
        by_link = operation.links and len(operation.statement.chunks) > 1
        found = self._links(operation) if by_link else _batches(operation, rows)
        table = operation.statement.table
        more = table is not None and operation.offset < table.num_rows
        return t.TFetchResultsResp(
            status=_ok(), hasMoreRows=more, results=found, resultSetMetadata=_metadata(operation)
        )

    def _links(self, operation: Operation) -> Any:
        statement = operation.statement
        expires = datetime.now(UTC) + timedelta(seconds=self._ws.link_seconds)
        links = [
            t.TSparkArrowResultLink(
                fileLink=result_link(
                    self._ws.url, statement.id, chunk.index, "ARROW_STREAM", expires, lz4=operation.lz4
                ),
                expiryTime=int(expires.timestamp()),
                startRowOffset=chunk.offset,
                rowCount=chunk.rows,
                bytesNum=len(encoded(statement, chunk.index, "ARROW_STREAM", False)),
            )
            for chunk in statement.chunks
        ]
        operation.offset = statement.table.num_rows if statement.table is not None else 0
        return t.TRowSet(startRowOffset=0, rows=[], resultLinks=links)


def serve(ws: Any, warehouse_id: str, user: str, body: bytes) -> bytes:
    """Answer one Thrift message."""
    answer = TMemoryBuffer()
    processor = TCLIService.Processor(Service(ws, warehouse_id, user))
    processor.process(TBinaryProtocol(TMemoryBuffer(body)), TBinaryProtocol(answer))
    return bytes(answer.getvalue())


def _ok() -> Any:
    return t.TStatus(statusCode=_SUCCESS)


def _invalid(message: str) -> Any:
    return t.TStatus(statusCode=t.TStatusCode.ERROR_STATUS, errorMessage=message, displayMessage=message)


def _handle() -> Any:
    return t.THandleIdentifier(guid=uuid.uuid4().bytes, secret=uuid.uuid4().bytes)


def _parameters(given: Any) -> list[Parameter]:
    return [
        Parameter(item.name, item.type or "STRING", item.value.stringValue if item.value else None)
        for item in given or []
    ]


def _status(statement: Statement) -> Any:
    message = str(statement.problem) if statement.problem else None
    return t.TGetOperationStatusResp(
        status=_ok(),
        operationState=_STATES[statement.state],
        sqlState=statement.problem.state if statement.problem else None,
        errorMessage=message,
        displayMessage=message,
        diagnosticInfo=message,
    )


def _metadata(operation: Operation) -> Any:
    table = operation.statement.table
    schema = table.schema if table is not None else pa.schema([])
    by_link = operation.links and len(operation.statement.chunks) > 1
    return t.TGetResultSetMetadataResp(
        status=_ok(),
        schema=t.TTableSchema(columns=[_column(field, index) for index, field in enumerate(schema)]),
        resultFormat=t.TSparkRowSetType.URL_BASED_SET if by_link else t.TSparkRowSetType.ARROW_BASED_SET,
        lz4Compressed=operation.lz4,
        arrowSchema=schema.serialize().to_pybytes(),
        isStagingOperation=False,
    )


def _column(field: pa.Field, index: int) -> Any:
    kind = column_type(field.type)
    qualifiers = None
    if kind.precision is not None:
        qualifiers = t.TTypeQualifiers(
            qualifiers={
                "precision": t.TTypeQualifierValue(i32Value=kind.precision),
                "scale": t.TTypeQualifierValue(i32Value=kind.scale),
            }
        )
    entry = t.TPrimitiveTypeEntry(type=_TYPES[kind.name], typeQualifiers=qualifiers)
    return t.TColumnDesc(
        columnName=field.name, position=index + 1, typeDesc=t.TTypeDesc(types=[t.TTypeEntry(primitiveEntry=entry)])
    )


def _batches(operation: Operation, rows: int | None) -> Any:
    table, start = operation.statement.table, operation.offset
    if table is None:
        return t.TRowSet(startRowOffset=start, rows=[], arrowBatches=[])
    part = table.slice(start, min(rows or CHUNK_ROWS, CHUNK_ROWS)).combine_chunks()
    operation.offset = start + part.num_rows
    batches = [
        t.TSparkArrowBatch(batch=_pack(batch.serialize().to_pybytes(), operation.lz4), rowCount=batch.num_rows)
        for batch in part.to_batches()
    ]
    return t.TRowSet(startRowOffset=start, rows=[], arrowBatches=batches)


def _pack(data: bytes, compress: bool) -> bytes:
    return lz4.frame.compress(data) if compress else data


def _source(req: Any) -> str:
    """The information schema of the one catalog that is asked for, or of all."""
    name = req.catalogName or "%"
    return "system.information_schema" if "%" in name else f"`{name}`.information_schema"


def _like(column: str, pattern: str | None) -> str:
    escaped = (pattern or "%").replace("'", "''")
    return f"{column} LIKE '{escaped}'"
