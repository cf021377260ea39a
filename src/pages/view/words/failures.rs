//! The words of the error page: a title, what happened, how to mend it.

use super::{Text, text};

pub const BAD_CLIENT: [Text; 3] = [
    text("This app is not known here", "등록되지 않은 앱입니다"),
    text(
        "An app sent you here to sign in, but it is not registered, or no longer.",
        "앱에서 로그인을 위해 이 페이지로 보냈지만, 등록되지 않았거나 등록이 해제된 앱입니다.",
    ),
    text(
        "Go back to the app and try again. If it happens again, tell the people who make the app.",
        "앱으로 돌아가 다시 시도해 주세요. 계속 발생하면 앱 제작자에게 알려 주세요.",
    ),
];
pub const BAD_REDIRECT_URI: [Text; 3] = [
    text(
        "We can’t send you back there",
        "돌아갈 주소가 올바르지 않습니다",
    ),
    text(
        "The app asks to send you to an address that it has not registered. To keep your account safe, we stopped here.",
        "앱이 등록하지 않은 주소로 이동을 요청했습니다. 계정을 보호하기 위해 여기서 중단했습니다.",
    ),
    text(
        "You can’t mend this yourself. Tell the people who make the app.",
        "직접 해결할 수 있는 문제가 아닙니다. 앱 제작자에게 알려 주세요.",
    ),
];
pub const BAD_REQUEST: [Text; 3] = [
    text(
        "We don’t understand this request",
        "이해할 수 없는 요청입니다",
    ),
    text(
        "The address or form that brought you here is incomplete or contradicts itself.",
        "이 페이지로 연결한 주소나 양식이 불완전하거나 서로 모순됩니다.",
    ),
    text(
        "Go back to where you came from and try again.",
        "이전 페이지로 돌아가 다시 시도해 주세요.",
    ),
];
pub const STRANGER_REFUSED: [Text; 3] = [
    text(
        "The app asked for something that can’t be done",
        "앱의 요청을 처리할 수 없습니다",
    ),
    text(
        "An app that we have not checked sent you here, and its request can’t be granted.",
        "확인되지 않은 앱이 이 페이지로 보냈으며, 앱의 요청을 허용할 수 없습니다.",
    ),
    text(
        "Go back to it only if you know it and trust it.",
        "알고 있고 신뢰하는 앱인 경우에만 돌아가세요.",
    ),
];
pub const REQUEST_EXPIRED: [Text; 3] = [
    text("This sign-in has expired", "로그인 요청이 만료되었습니다"),
    text(
        "You were away for too long, or the sign-in was finished already.",
        "너무 오래 자리를 비웠거나 이미 완료된 로그인입니다.",
    ),
    text(
        "Go back to the app and sign in from there again.",
        "앱으로 돌아가 다시 로그인해 주세요.",
    ),
];
pub const FORM_HAS_EXPIRED: [Text; 3] = [
    text("This form has expired", "양식이 만료되었습니다"),
    text(
        "The page was open for too long, or it was sent from another site. Nothing was changed.",
        "페이지가 너무 오래 열려 있었거나 다른 사이트에서 전송되었습니다. 변경된 내용은 없습니다.",
    ),
    text(
        "Go back, reload the page and try again. Your browser must allow cookies.",
        "뒤로 돌아가 페이지를 새로 고친 뒤 다시 시도해 주세요. 브라우저에서 쿠키를 허용해야 합니다.",
    ),
];
pub const NO_ADDRESS: [Text; 3] = [
    text("We need your email address", "이메일 주소가 필요합니다"),
    text(
        "You signed in elsewhere, but we were not told an email address there, and an account needs one.",
        "외부 로그인에는 성공했지만 이메일 주소를 전달받지 못했습니다. 계정에는 이메일 주소가 필요합니다.",
    ),
    text(
        "Go back and sign in another way, or allow your email address to be shared there.",
        "뒤로 돌아가 다른 방법으로 로그인하거나, 외부 서비스에서 이메일 주소 공유를 허용해 주세요.",
    ),
];
pub const SIGN_UP_CLOSED: [Text; 3] = [
    text("There is no account for you yet", "아직 계정이 없습니다"),
    text(
        "You signed in elsewhere, but here accounts are made by administrators only.",
        "외부 로그인에는 성공했지만, 이곳의 계정은 관리자만 만들 수 있습니다.",
    ),
    text(
        "Ask an administrator for an account, then sign in again.",
        "관리자에게 계정을 요청한 뒤 다시 로그인해 주세요.",
    ),
];
pub const NOT_FOUND: [Text; 3] = [
    text("There is nothing here", "페이지를 찾을 수 없습니다"),
    text(
        "This address leads nowhere, or what it led to is gone.",
        "존재하지 않는 주소이거나 더 이상 제공되지 않는 페이지입니다.",
    ),
    text(
        "Check the address, or go to your account.",
        "주소를 확인하거나 내 계정으로 이동해 주세요.",
    ),
];
pub const TOO_MANY_REQUESTS: [Text; 3] = [
    text("That was too often", "요청이 너무 많습니다"),
    text(
        "Too many requests came from your network.",
        "사용 중인 네트워크에서 너무 많은 요청이 발생했습니다.",
    ),
    text(
        "Wait a minute, then try again.",
        "잠시 후 다시 시도해 주세요.",
    ),
];
pub const SERVER_TROUBLE: [Text; 3] = [
    text(
        "Something went wrong on our side",
        "서버에 문제가 발생했습니다",
    ),
    text(
        "It is not your fault, and your account is safe.",
        "회원님의 잘못이 아니며 계정은 안전합니다.",
    ),
    text(
        "Try again in a moment. If it goes on, send us the lines below.",
        "잠시 후 다시 시도해 주세요. 계속 발생하면 아래 내용을 보내 주세요.",
    ),
];
pub const TO_ACCOUNT: Text = text("Go to your account", "내 계정으로 이동");
pub const DETAILS: Text = text("Technical details", "기술 정보");
pub const ERROR_CODE: Text = text("Error", "오류");
pub const REQUEST_ID: Text = text("Request", "요청");
