"""What the engines offer inside a query that reaches further than the catalog's tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from agent.guards.forbidden import words

Dialect = Literal["duckdb", "databricks"]

BLOCKED: Mapping[Dialect, frozenset[str]] = {
    "duckdb": words(
        """read_csv read_csv_auto sniff_csv read_parquet parquet_scan parquet_metadata parquet_schema
        parquet_file_metadata parquet_kv_metadata parquet_bloom_probe parquet_full_metadata read_json read_json_auto
        read_json_objects read_json_objects_auto read_ndjson read_ndjson_auto read_ndjson_objects read_text read_blob
        read_xlsx read_avro read_duckdb glob getenv query query_table json_execute_serialized_sql
        from_substrait duckdb_secrets which_secret sqlite_scan sqlite_attach sqlite_query postgres_scan
        postgres_scan_pushdown postgres_query postgres_attach postgres_execute mysql_scan mysql_query mysql_execute
        iceberg_scan iceberg_metadata delta_scan st_read st_read_osm http_get http_post arrow_scan arrow_scan_dumb
        pandas_scan python_map_function checkpoint force_checkpoint write_log truncate_duckdb_logs
        enable_logging disable_logging enable_profiling disable_profiling set_config pg_sleep"""
    ),
    "databricks": words("""secret try_secret list_secrets http_request reflect try_reflect java_method remote_query"""),
}

TABLE_FUNCTIONS = words(
    """range generate_series unnest explode json_each json_tree duckdb_tables duckdb_columns duckdb_views
    duckdb_schemas duckdb_databases duckdb_functions duckdb_types duckdb_constraints duckdb_indexes
    pragma_table_info pragma_show summary repeat repeat_row"""
)

FILE_NAME = re.compile(
    r"(?i)[/\\*?]|://|\.(?:csv|tsv|txt|parquet|json|jsonl|ndjson|gz|zst|db|duckdb|ddb|sqlite|sqlite3|xlsx|avro|arrow"
    r"|feather|orc|log|py|env|yaml|yml|toml)$"
)
FILE_FORMATS = words("csv json parquet delta text binaryfile orc avro iceberg")
