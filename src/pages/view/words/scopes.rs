//! Scopes in words, each as what the app will be able to do.

use super::{Text, text};

/// What a built-in scope allows, in words; `None` for one that only its API knows.
pub fn scope(name: &str) -> Option<Text> {
    Some(match name {
        "account:read" => text("Read your account", "계정 정보 읽기"),
        "account:write" => text("Change or delete your account", "계정 변경 및 삭제"),
        "sessions:self" => text(
            "See your signed-in devices and sign them out",
            "로그인된 내 기기 보기 및 로그아웃",
        ),
        "sessions:write" => text(
            "See everyone’s signed-in devices and sign them out",
            "모든 사용자의 로그인된 기기 보기 및 로그아웃",
        ),
        "records:read" => text(
            "Read the data that you can see",
            "회원님이 볼 수 있는 데이터 읽기",
        ),
        "records:write" => text(
            "Create, change and delete the data that you can change",
            "회원님의 권한으로 데이터 생성, 변경 및 삭제",
        ),
        "channels:read" => text(
            "Receive the live messages that you can receive",
            "회원님이 받을 수 있는 실시간 메시지 받기",
        ),
        "channels:write" => text(
            "Send live messages as you",
            "회원님 이름으로 실시간 메시지 보내기",
        ),
        "channels:manage" => text(
            "Send live messages to everyone and see who is online",
            "모든 사용자에게 실시간 메시지 보내기 및 접속자 보기",
        ),
        "collections:read" => text(
            "See how collections of data are declared",
            "데이터 컬렉션의 정의 보기",
        ),
        "collections:write" => text(
            "Declare collections of data and delete them with all they hold",
            "데이터 컬렉션 정의 및 전체 데이터와 함께 삭제",
        ),
        "users:read" => text("Read everyone’s accounts", "모든 사용자의 계정 읽기"),
        "users:write" => text(
            "Create, change and delete everyone’s accounts and give roles",
            "모든 사용자의 계정 생성, 변경, 삭제 및 역할 부여",
        ),
        "roles:read" => text("Read roles and what they allow", "역할과 역할별 권한 읽기"),
        "roles:write" => text("Create, change and delete roles", "역할 생성, 변경 및 삭제"),
        "keys:read" => text("See the server’s signing keys", "서버의 서명 키 보기"),
        "keys:write" => text(
            "Replace and withdraw the server’s signing keys",
            "서버의 서명 키 교체 및 폐기",
        ),
        "clients:read" => text("See the registered apps", "등록된 앱 보기"),
        "clients:write" => text("Register, change and delete apps", "앱 등록, 변경 및 삭제"),
        "audit:read" => text(
            "Read who did what, when and from where",
            "누가 언제 어디서 무엇을 했는지 읽기",
        ),
        _ => return identity(name),
    })
}

/// What one that tells of the person allows.
fn identity(name: &str) -> Option<Text> {
    Some(match name {
        "openid" => text("Know that it is you", "회원님이 누구인지 확인"),
        "profile" => text("See your name and language", "이름과 언어 보기"),
        "email" => text("See your email address", "이메일 주소 보기"),
        "address" => text("See your postal address", "우편 주소 보기"),
        "phone" => text("See your phone number", "전화번호 보기"),
        "offline_access" => text(
            "Keep this access while you are not using it",
            "사용하지 않을 때에도 접근 유지",
        ),
        _ => return None,
    })
}
