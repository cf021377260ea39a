// A single-page app as anybody would write it with oidc-client-ts; the test presses its buttons and calls `manager`.
const { authority, clients, scope } = await (await fetch("settings.json")).json();
const { IndexedDbDPoPStore, UserManager, WebStorageStateStore } = globalThis.oidc;
const query = new URLSearchParams(location.search);
const proves = localStorage.getItem("proves") === "yes";

const manager = new UserManager({
  authority,
  client_id: proves ? clients.dpop : clients.bearer,
  scope,
  redirect_uri: `${location.origin}/callback.html`,
  silent_redirect_uri: `${location.origin}/callback.html`,
  post_logout_redirect_uri: `${location.origin}/signed-out.html`,
  userStore: new WebStorageStateStore({ store: localStorage }),
  // The library asks userinfo with a plain Bearer header, which a bound token is not good for.
  loadUserInfo: !proves,
  dpop: proves ? { bind_authorization_code: true, store: new IndexedDbDPoPStore() } : undefined,
  revokeTokensOnSignout: true,
  automaticSilentRenew: query.has("renew"),
  accessTokenExpiringNotificationTimeInSeconds: Number(query.get("renew") ?? 60),
});
const show = (id, text) => { document.getElementById(id).textContent = text; };

async function me() {
  const user = await manager.getUser();
  const address = `${authority}/v1/users/me`;
  const ask = async (nonce) => fetch(address, {
    headers: proves
      ? { authorization: `DPoP ${user.access_token}`, dpop: await manager.dpopProof(address, user, "GET", nonce) }
      : { authorization: `Bearer ${user.access_token}` },
  });
  let response = await ask();
  const nonce = response.headers.get("dpop-nonce");
  if (proves && response.status === 401 && nonce) response = await ask(nonce);
  return { status: response.status, body: await response.json() };
}

async function home() {
  const user = await manager.getUser();
  show("state", user && !user.expired ? `signed in as ${user.profile.email}` : "signed out");
  if (user) show("me", JSON.stringify(await me()));
}

globalThis.app = {
  manager, me,
  user: async () => {
    const user = await manager.getUser();
    return user && { access: user.access_token, refresh: user.refresh_token, id: user.id_token, profile: user.profile, scope: user.scope, expired: user.expired, expires_in: user.expires_in };
  },
};
document.getElementById("sign-in").addEventListener("click", () => manager.signinRedirect({ state: { from: "the test" }, ui_locales: "en" }));
document.getElementById("sign-out").addEventListener("click", () => manager.signoutRedirect({ state: "bye & thanks" }));

switch (document.body.dataset.page) {
  case "index":
    await home();
    break;
  case "callback":
    if (window.parent !== window) {
      await manager.signinSilentCallback();
    } else {
      const user = await manager.signinRedirectCallback();
      sessionStorage.setItem("from", user.state.from);
      location.replace("/");
    }
    break;
  case "signed-out": {
    const { userState } = await manager.signoutRedirectCallback();
    show("state", `signed out: ${userState}`);
  }
}
document.body.dataset.done = "yes";
