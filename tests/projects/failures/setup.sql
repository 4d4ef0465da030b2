create schema raw;
create table raw.orders (id integer, customer_id integer, amount integer, ordered_at timestamp);
insert into raw.orders values (1, 1, 10, '2024-01-01 08:00:00'), (2, 1, 20, '2024-01-02 09:00:00'), (3, 2, 30, '2024-01-03 10:00:00'), (4, 3, 40, '2024-01-04 11:00:00');
create table raw.customers (id integer, name varchar(40));
insert into raw.customers values (1, 'Ada'), (2, 'Grace'), (2, 'Grace again');
create table raw.payments (id integer, order_id integer, method varchar(40));
insert into raw.payments values (1, 1, 'card'), (2, 2, 'cash'), (3, 3, 'barter');
