create schema raw;
create table raw.events (id integer, happened_at timestamp);
insert into raw.events values (1, '2024-01-01 08:00:00'), (2, '2024-01-02 08:00:00');
