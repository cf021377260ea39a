alter table sessions drop column reopened_at;
alter table sessions drop column rotated_from;
drop index sessions_refresh_kid_idx;
alter table signing_keys drop column retired_at;
alter table signing_keys drop column retires_at;
alter table signing_keys drop column activated_at;
alter table signing_keys drop column activates_at;
drop table longest_lifetimes;
drop table revocations;
