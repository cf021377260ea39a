-- Redeems each code of the file in CODES once, with the rest of the form from the file in FORM.
local codes, form = {}, ""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"

function init()
   for code in io.lines(os.getenv("CODES")) do
      table.insert(codes, code)
   end
   form = io.open(os.getenv("FORM")):read("*a")
end

function request()
   return wrk.format(nil, nil, nil, form .. "&code=" .. table.remove(codes))
end
