// For programs in other languages: a new user opens the address given and signs in; prints who it was and where they were sent.
import { Browser, signUp } from "./browser.mjs";

const user = await signUp();
const back = await new Browser(user).open(process.argv[2]);
if (!(back instanceof URL)) {
  console.error(back.text);
  process.exit(1);
}
console.log(JSON.stringify({ id: user.id, email: user.email, back }));
