def model(dbt, session):
    dbt.config(materialized="incremental", unique_key="id")
    base = dbt.ref("from_python")
    factor = 2 if dbt.is_incremental else 1
    return base.project(f"id, tenfold * {factor} as tenfold")
