-- a test without parents that fails: it blocks nobody
select 1 as id
