def model(dbt, session):
    dbt.config(materialized="table", tags=["python"])
    base = dbt.ref("base")
    return base.filter("id > 1").project("id, id * 10 as tenfold")
