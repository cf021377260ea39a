-- What is erased is erased from the kept answers, too.
create index idempotent_answers_location_idx on idempotent_answers (location);
