//! The words of the account page, of notices and of what is wrong with a field.

use super::{Around, Text, around, text};

pub const YOUR_ACCOUNT: Text = text("Your account", "내 계정");
pub const SIGNED_IN_AS: Around = around(("Signed in as ", ""), ("", " 계정으로 로그인됨"));
pub const PROFILE: Text = text("Profile", "프로필");
pub const LANGUAGE: Text = text("Language", "언어");
pub const NO_LANGUAGE: Text = text("The browser’s language", "브라우저 언어");
pub const SAVE: Text = text("Save", "저장");
pub const NEW_PASSWORD: Text = text("New password", "새 비밀번호");
pub const CURRENT_PASSWORD: Text = text("Current password", "현재 비밀번호");
pub const CHANGE_PASSWORD: Text = text("Change password", "비밀번호 변경");
pub const DEVICES: Text = text("Signed-in devices", "로그인된 기기");
pub const DEVICES_LEAD: Text = text(
    "Sign out what you no longer use or don’t know.",
    "더 이상 사용하지 않거나 모르는 기기는 로그아웃하세요.",
);
pub const THIS_ONE: Text = text("This device", "현재 기기");
pub const SIGNED_IN: Text = text("Signed in", "로그인");
pub const LAST_SEEN: Text = text("Last seen", "마지막 사용");
pub const END_OTHERS: Text = text("Sign out all other devices", "다른 기기 모두 로그아웃");
pub const APPS: Text = text("Apps with access", "접근을 허용한 앱");
pub const NO_APPS: Text = text(
    "You have given no app access to your account.",
    "계정 접근을 허용한 앱이 없습니다.",
);
pub const SINCE: Text = text("Since", "허용 시각");
pub const WITHDRAW: Text = text("Withdraw access", "접근 철회");

pub const WRONG_CREDENTIALS: Text = text(
    "That email or password is not right.",
    "이메일 또는 비밀번호가 올바르지 않습니다.",
);
pub const WRONG_PASSWORD: Text = text(
    "That password is not right.",
    "비밀번호가 올바르지 않습니다.",
);
pub const OVERLOADED: Text = text(
    "Too many people are signing in right now. Try again in a few seconds.",
    "지금 로그인 요청이 많습니다. 몇 초 후에 다시 시도해 주세요.",
);
pub const SESSION_EXPIRED: Text = text(
    "You were signed out. Sign in again to go on.",
    "로그아웃되었습니다. 계속하려면 다시 로그인해 주세요.",
);
pub const FORM_EXPIRED: Text = text(
    "This page was open for too long. Please try again.",
    "페이지가 너무 오래 열려 있었습니다. 다시 시도해 주세요.",
);
pub const UNKNOWN_CODE: Text = text(
    "That code is not right, or it has expired. Compare it with your device, or begin again there.",
    "코드가 올바르지 않거나 만료되었습니다. 기기의 코드와 비교하거나 기기에서 다시 시작해 주세요.",
);
pub const UPSTREAM_FAILED: Text = text(
    "Signing in there did not work. Try again, or sign in another way.",
    "외부 로그인에 실패했습니다. 다시 시도하거나 다른 방법으로 로그인해 주세요.",
);
pub const SAVED: Text = text("Saved.", "저장되었습니다.");
pub const PASSWORD_CHANGED: Text = text("Your password is changed.", "비밀번호가 변경되었습니다.");
pub const DEVICE_SIGNED_OUT: Text =
    text("The device is signed out.", "기기에서 로그아웃되었습니다.");
pub const OTHERS_SIGNED_OUT: Text = text(
    "All other devices are signed out.",
    "다른 모든 기기에서 로그아웃되었습니다.",
);
pub const ACCESS_WITHDRAWN: Text = text(
    "The app has no access any more.",
    "앱의 접근 권한을 철회했습니다.",
);

pub const MISSING: Text = text("Fill this in.", "입력해 주세요.");
pub const TOO_LONG: Text = text("This is too long.", "너무 깁니다.");
pub const NOT_VALID: Text = text("This is not valid.", "올바르지 않은 값입니다.");
pub const NOT_AN_ADDRESS: Text = text(
    "Enter an email address, like ada@example.com.",
    "ada@example.com과 같은 이메일 주소를 입력해 주세요.",
);
pub const TAKEN: Text = text(
    "This address already has an account. Sign in instead.",
    "이미 계정이 있는 주소입니다. 로그인해 주세요.",
);
pub const TOO_SHORT: Text = text("Use at least 8 characters.", "8자 이상 입력해 주세요.");
pub const GUESSABLE: Text = text(
    "This is among the passwords that are tried first. Use a few unrelated words.",
    "가장 먼저 시도되는 비밀번호 중 하나입니다. 서로 관련 없는 단어 몇 개를 사용해 주세요.",
);
