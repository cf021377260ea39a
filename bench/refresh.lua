-- Refreshes many sessions, each with what its last answer brought; reads the first tokens from the file in TOKENS.
local waiting, next_index, last_index = {}, 1, 0
wrk.method = "POST"
wrk.path = "/v1/tokens"
wrk.headers["Content-Type"] = "application/json"

function init()
   for token in io.lines(os.getenv("TOKENS")) do
      last_index = last_index + 1
      waiting[last_index] = token
   end
end

function request()
   local token = waiting[next_index]
   waiting[next_index] = nil
   next_index = next_index + 1
   return wrk.format(nil, nil, nil, '{"refresh_token":"' .. token .. '"}')
end

function response(status, headers, body)
   last_index = last_index + 1
   waiting[last_index] = string.match(body, '"refresh_token":"([^"]+)"')
end
