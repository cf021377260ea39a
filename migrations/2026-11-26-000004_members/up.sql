-- How an index works: by order, by order and once only, or by words.
alter table collection_indexes add column method text not null default 'order';
alter table collection_indexes add constraint collection_indexes_method_check check (method in ('order', 'unique', 'search'));
