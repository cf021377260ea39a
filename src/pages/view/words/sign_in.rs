//! The words of signing in, signing up, consenting, devices and signing out.

use super::{Around, Text, around, text};

pub const EMAIL: Text = text("Email", "이메일");
pub const PASSWORD: Text = text("Password", "비밀번호");
pub const NAME: Text = text("Name", "이름");
pub const OPTIONAL: Text = text("optional", "선택 사항");
pub const CONTINUE: Text = text("Continue", "계속");
pub const CANCEL: Text = text("Cancel", "취소");
pub const ALLOW: Text = text("Allow", "허용");
pub const DENY: Text = text("Deny", "거부");
pub const OR: Text = text("or", "또는");
pub const PLEASE_MEND: Text = text(
    "Something needs your attention:",
    "다음 내용을 확인해 주세요.",
);

pub const SIGN_IN: Text = text("Sign in", "로그인");
pub const TO_CONTINUE: Around = around(("to continue to ", ""), ("", " 앱으로 계속하기"));
pub const CONTINUE_WITH: Around = around(("Continue with ", ""), ("", " 계정으로 계속하기"));
pub const NO_ACCOUNT_YET: Text = text("No account yet?", "계정이 없으신가요?");
pub const CONFIRM_IT_IS_YOU: Text = text("Confirm it is you", "본인 확인");
pub const CONFIRM_TO_CONTINUE: Around = around(
    ("Enter your password again to continue to ", ""),
    ("", " 앱으로 계속하려면 비밀번호를 다시 입력해 주세요."),
);
pub const WHY_CONFIRM: Text = text(
    "Enter your password again to go on.",
    "계속하려면 비밀번호를 다시 입력해 주세요.",
);

pub const SIGN_UP: Text = text("Create your account", "계정 만들기");
pub const SIGN_UP_LINK: Text = text("Create one", "계정 만들기");
pub const CREATE_ACCOUNT: Text = text("Create account", "계정 만들기");
pub const HAVE_ACCOUNT: Text = text("Already have an account?", "이미 계정이 있으신가요?");
pub const PASSWORD_HINT: Text = text(
    "At least 8 characters. A few unrelated words make a good one.",
    "8자 이상. 서로 관련 없는 단어 몇 개를 이어 쓰면 좋습니다.",
);

pub const LINK_TITLE: Text = text("You already have an account", "이미 계정이 있습니다");
pub const LINK_LEAD: Around = around(
    (
        "Enter your password once, and from then on you can sign in with ",
        ".",
    ),
    (
        "비밀번호를 한 번 입력하면 다음부터 ",
        " 계정으로 로그인할 수 있습니다.",
    ),
);
pub const LINK_BUTTON: Around = around(("Connect ", ""), ("", " 연결하기"));

pub const CHOOSE_ACCOUNT: Text = text("Choose an account", "계정 선택");
pub const CONTINUE_AS: Around = around(("Continue as ", ""), ("", " 계정으로 계속하기"));
pub const ANOTHER_ACCOUNT: Text = text("Use another account", "다른 계정 사용");
pub const NOT_YOU: Text = text("Not you?", "본인이 아닌가요?");

pub const CONSENT_TITLE: Around = around(
    ("", " wants to use your account"),
    ("", " 앱이 회원님의 계정을 사용하려고 합니다"),
);
pub const WILL_BE_ABLE: Text = text("It will be able to:", "이 앱에 허용되는 작업:");
pub const WILL_LEARN_NOTHING: Text = text(
    "It asks for nothing beyond signing you in.",
    "로그인 외에는 아무것도 요청하지 않습니다.",
);
pub const AT_API: Around = around(("At the API ", ""), ("대상 API: ", ""));
pub const GO_ON_TO: Around = around(
    ("Either way you go on to ", "."),
    ("선택한 뒤 ", "(으)로 이동합니다."),
);
pub const WITHDRAW_LATER: Text = text(
    "You can withdraw this at any time in your account.",
    "계정 페이지에서 언제든지 철회할 수 있습니다.",
);
pub const UNVERIFIED: Text = text("Unverified app", "확인되지 않은 앱");
pub const UNVERIFIED_WHY: Text = text(
    "This app registered itself, and nobody has checked who is behind it. Its name may be made up. Allow it only if you were just using it.",
    "이 앱은 스스로 등록했으며 운영자가 누구인지 확인되지 않았습니다. 이름이 사실이 아닐 수 있습니다. 방금 이 앱을 사용하던 중이었을 때만 허용하세요.",
);

pub const DEVICE_TITLE: Text = text("Connect a device", "기기 연결");
pub const DEVICE_LEAD: Text = text(
    "Enter the code that your device shows.",
    "기기에 표시된 코드를 입력해 주세요.",
);
pub const CODE: Text = text("Code", "코드");
pub const CODE_HINT: Text = text(
    "8 letters; the dash is optional.",
    "영문 8자. 줄표는 생략해도 됩니다.",
);
pub const DEVICE_CONFIRM: Text = text("Is this your device?", "회원님의 기기가 맞나요?");
pub const SAME_CODE: Text = text(
    "Your device must show exactly this code:",
    "기기에 표시된 코드가 다음과 똑같아야 합니다.",
);
pub const ONLY_IF_YOURS: Text = text(
    "Only go on if you began this yourself",
    "직접 시작한 경우에만 계속하세요",
);
pub const ONLY_IF_YOURS_WHY: Text = text(
    "If someone sent you this code or read it to you, deny: they would get into your account.",
    "다른 사람이 이 코드를 보내거나 불러 주었다면 거부하세요. 그 사람이 회원님의 계정에 들어갈 수 있습니다.",
);
pub const APP: Text = text("App", "앱");
pub const ASKED_FROM: Text = text("Asked from", "요청 위치");
pub const DEVICE: Text = text("Device", "기기");
pub const ASKED_AT: Text = text("Asked at", "요청 시각");
pub const UNKNOWN: Text = text("unknown", "알 수 없음");
pub const UNKNOWN_DEVICE: Text = text("Unknown device", "알 수 없는 기기");
pub const ACCOUNT: Text = text("Account", "계정");
pub const DEVICE_ALLOWED: Text = text("Your device is connected", "기기가 연결되었습니다");
pub const DEVICE_ALLOWED_LEAD: Text = text(
    "It goes on by itself in a moment. You can close this page.",
    "기기에서 곧 자동으로 계속됩니다. 이 페이지를 닫아도 됩니다.",
);
pub const DEVICE_DENIED: Text = text("The device was refused", "기기 연결을 거부했습니다");
pub const DEVICE_DENIED_LEAD: Text = text(
    "It gets nothing from your account. You can close this page.",
    "기기는 회원님의 계정에 접근할 수 없습니다. 이 페이지를 닫아도 됩니다.",
);

pub const SIGN_OUT: Text = text("Sign out", "로그아웃");
pub const SIGN_OUT_TITLE: Text = text("Do you want to sign out?", "로그아웃하시겠습니까?");
pub const SIGN_OUT_ASKED_BY: Around = around(
    ("", " asks to sign you out."),
    ("", " 앱이 로그아웃을 요청했습니다."),
);
pub const SIGN_OUT_LEAD: Text = text(
    "You will be signed out on this device.",
    "이 기기에서 로그아웃됩니다.",
);
pub const STAY: Text = text("Stay signed in", "로그인 유지");
pub const SIGNED_OUT: Text = text("You are signed out", "로그아웃되었습니다");
pub const SIGNED_OUT_LEAD: Text = text("You can close this page.", "이 페이지를 닫아도 됩니다.");
pub const BACK_TO: Around = around(("Back to ", ""), ("", " 앱으로 돌아가기"));

pub const GOING_BACK: Text = text("One moment", "잠시만 기다려 주세요");
pub const GOING_BACK_TO: Around = around(
    (
        "You are going back to ",
        ". If nothing happens, continue here.",
    ),
    (
        "",
        " 앱으로 돌아가는 중입니다. 넘어가지 않으면 아래에서 계속하세요.",
    ),
);
