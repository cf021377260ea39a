alter table collection_indexes drop constraint collection_indexes_method_check, drop column method;
