{{ config(materialized='table', post_hook={"sql": "insert into nowhere_at_all values (1)", "transaction": false}) }}
-- the table is there although the node failed
select 1 as id
