const TOLLGATE = "http://localhost:8080";
const here = `${location.origin}/`;

const manager = new oidc.UserManager({
  authority: TOLLGATE,
  client_id: "shop",
  redirect_uri: here,
  post_logout_redirect_uri: here,
  scope: "openid profile email offline_access account:read",
  loadUserInfo: true, // an ID token says who somebody is, userinfo what they are called
  // All tabs share one session; it is renewed by itself, a minute before the access token ends.
  userStore: new oidc.WebStorageStateStore({ store: localStorage }),
});

const $ = (id) => document.getElementById(id);

/** Calls the API; an access token that died early costs one renewal, a session that has ended throws. */
async function call(path) {
  const ask = (user) =>
    fetch(TOLLGATE + path, { headers: { Authorization: `Bearer ${user.access_token}` } });
  const response = await ask(await manager.getUser());
  return response.status === 401 ? ask(await manager.signinSilent()) : response;
}

async function draw() {
  const user = await manager.getUser();
  $("state").textContent = user ? `Hello ${user.profile.name ?? user.profile.email}` : "You are signed out.";
  $("sign-in").hidden = Boolean(user);
  $("call").hidden = $("sign-out").hidden = !user;
}

$("sign-in").onclick = () => manager.signinRedirect();
$("sign-out").onclick = () => manager.signoutRedirect();
$("call").onclick = async () => {
  try {
    $("answer").textContent = JSON.stringify(await (await call("/v1/users/me")).json(), null, 2);
  } catch (error) {
    // Tollgate's own word is final; anything else, as a network that is down, costs nobody the session.
    if (error instanceof oidc.ErrorResponse) await manager.removeUser();
    $("answer").textContent = error.message;
  }
};
manager.events.addUserLoaded(draw);
manager.events.addUserUnloaded(draw);
addEventListener("storage", draw); // what another tab has done

// Back from Tollgate, with a code or with the reason why there is none.
const answer = new URLSearchParams(location.search);
if (answer.has("code") || answer.has("error")) {
  try {
    await manager.signinCallback();
  } catch (error) {
    $("answer").textContent = error.message;
  }
  history.replaceState(null, "", here);
}
await draw();
