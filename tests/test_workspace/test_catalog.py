"""Unity Catalog, secrets and identity, with databricks-sdk."""

import json
import time

import pytest
from databricks.sdk.errors import BadRequest, NotFound, PermissionDenied, ResourceAlreadyExists, Unauthenticated
from databricks.sdk.service.catalog import (
    ColumnTypeName,
    CreateFunction,
    CreateFunctionParameterStyle,
    CreateFunctionRoutineBody,
    CreateFunctionSecurityType,
    CreateFunctionSqlDataAccess,
    FunctionParameterInfo,
    FunctionParameterInfos,
    TableType,
    VolumeType,
)

from tests.workspace.fixtures import Place, Target
from tests.workspace.workspace import Workspace

pytestmark = pytest.mark.workspace


def test_schemas(target: Target, place: Place) -> None:
    api = target.client().schemas
    assert place.schema in {schema.name for schema in api.list(place.catalog)}
    assert api.get(f"{place.catalog}.{place.schema}").full_name == f"{place.catalog}.{place.schema}"
    with pytest.raises((BadRequest, ResourceAlreadyExists)):
        api.create(name=place.schema, catalog_name=place.catalog)
    with pytest.raises(NotFound):
        api.get(f"{place.catalog}.nowhere_at_all")


def test_tables_have_columns_types_and_comments(target: Target, place: Place) -> None:
    client, name = target.client(), place.table("orders")
    columns = "id BIGINT NOT NULL COMMENT 'the key', m DECIMAL(10,2), at TIMESTAMP"
    text = f"CREATE TABLE {name} ({columns}) COMMENT 'all orders'"
    client.statement_execution.execute_statement(text, target.warehouse_id, wait_timeout="30s")
    table = client.tables.get(name)
    assert (table.table_type, table.comment) == (TableType.MANAGED, "all orders")
    assert [(column.name, column.type_name, column.nullable) for column in table.columns] == [
        ("id", ColumnTypeName.LONG, False),
        ("m", ColumnTypeName.DECIMAL, True),
        ("at", ColumnTypeName.TIMESTAMP, True),
    ]
    assert (table.columns[0].comment, table.columns[1].type_text) == ("the key", "decimal(10,2)")
    assert json.loads(table.columns[0].type_json)["type"] == "long"
    assert [known.name for known in client.tables.list(place.catalog, place.schema)] == ["orders"]
    assert client.tables.exists(name).table_exists
    client.tables.delete(name)
    assert not client.tables.exists(name).table_exists


def test_everything_that_is_listed_can_be_looked_into(target: Target, place: Place) -> None:
    client = target.client()
    for schema in client.schemas.list(place.catalog):
        for table in client.tables.list(place.catalog, schema.name):
            assert table.full_name.startswith(f"{place.catalog}.{schema.name}.")


def test_volumes(target: Target, place: Place) -> None:
    api = target.client().volumes
    api.create(catalog_name=place.catalog, schema_name=place.schema, name="more", volume_type=VolumeType.MANAGED)
    assert {volume.name for volume in api.list(place.catalog, place.schema)} == {"files", "more"}
    assert api.read(f"{place.catalog}.{place.schema}.more").volume_type == VolumeType.MANAGED
    api.delete(f"{place.catalog}.{place.schema}.more")
    with pytest.raises(NotFound):
        api.read(f"{place.catalog}.{place.schema}.more")


def test_functions(target: Target, place: Place) -> None:
    api = target.client().functions
    parameter = FunctionParameterInfo(name="x", type_text="int", type_name=ColumnTypeName.INT, position=0)
    made = api.create(
        CreateFunction(
            name="twice",
            catalog_name=place.catalog,
            schema_name=place.schema,
            input_params=FunctionParameterInfos(parameters=[parameter]),
            data_type=ColumnTypeName.INT,
            full_data_type="int",
            routine_body=CreateFunctionRoutineBody.SQL,
            routine_definition="x * 2",
            parameter_style=CreateFunctionParameterStyle.S,
            is_deterministic=True,
            sql_data_access=CreateFunctionSqlDataAccess.CONTAINS_SQL,
            is_null_call=False,
            security_type=CreateFunctionSecurityType.DEFINER,
            specific_name="twice",
        )
    )
    assert made.full_name == f"{place.catalog}.{place.schema}.twice"
    assert [function.name for function in api.list(place.catalog, place.schema)] == ["twice"]
    assert api.get(made.full_name).routine_definition == "x * 2"
    api.delete(made.full_name)


def test_catalogs(target: Target, place: Place) -> None:
    api = target.client().catalogs
    assert place.catalog in {catalog.name for catalog in api.list()}
    assert api.get(place.catalog).name == place.catalog
    with pytest.raises(NotFound):
        api.get("nowhere_at_all")


def test_secrets(target: Target, place: Place) -> None:
    api, scope = target.client().secrets, place.schema
    api.create_scope(scope)
    try:
        api.put_secret(scope, "text", string_value="grüß")
        api.put_secret(scope, "bytes", bytes_value="AAE=")
        assert target.client().dbutils.secrets.get(scope, "text") == "grüß"
        assert api.get_secret(scope, "bytes").value == "AAE="
        assert {secret.key for secret in api.list_secrets(scope)} == {"text", "bytes"}
        assert scope in {known.name for known in api.list_scopes()}
        api.delete_secret(scope, "text")
        with pytest.raises(NotFound):
            api.get_secret(scope, "text")
    finally:
        api.delete_scope(scope)


def test_who_am_i(target: Target) -> None:
    client = target.client()
    assert client.current_user.me().active
    assert client.get_workspace_id() > 0


def test_an_unknown_token_is_refused(ws: Workspace, target: Target) -> None:
    with pytest.raises(PermissionDenied):
        target.client(token="dapi-not-one").current_user.me()


def test_machine_to_machine_tokens_expire_and_are_renewed(
    ws: Workspace, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ws.tokens, "lifetime", 2.0)
    ws.tokens.add_client("robot", "its-secret")
    client = target.client(token=None, client_id="robot", client_secret="its-secret", auth_type="oauth-m2m")
    assert client.current_user.me().user_name == "robot"
    first = client.config.authenticate()["Authorization"].removeprefix("Bearer ")
    time.sleep(2.1)
    with pytest.raises(Unauthenticated):
        target.client(token=first, auth_type="pat").current_user.me()
    assert client.current_user.me().user_name == "robot"
    assert ws.journal.count("token_minted", subject="robot") >= 2
