alter table sessions drop column external;
alter table sessions drop column refresh_kid;
alter table sessions drop column gen_acked;
