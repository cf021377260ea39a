-- The newest generation that was seen in use; what is not seen may have been lost on its way to the client.
alter table sessions add column gen_acked bigint not null default -1;
-- The key of the current generation's refresh token, so that it can be made again byte for byte.
alter table sessions add column refresh_kid text;
-- Whether the current generation gave a token for an API whose use we don't see.
alter table sessions add column external boolean not null default false;
