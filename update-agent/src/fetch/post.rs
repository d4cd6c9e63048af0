//! Mail by SMTP.
//!
//! Known attacks and our defence: text of a depot that tries to be a header or a second letter (addresses are of a type without line
//! breaks, a subject with control characters is refused, a body is encoded and its dots are doubled by the library); somebody between
//! appliance and server (with STARTTLS a server that cannot encrypt is refused, not obeyed).

use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{ContentType, MIME_VERSION_1_0};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::Tls;
use lettre::transport::smtp::extension::ClientId;
use lettre::{SmtpTransport, Transport as _};

use super::tls::{self, Authorities};
use super::wire::{Answer, Letter};
use super::{PATIENCE, TEXT};
use formats::mail::{Address, Security};

/// Sends one letter.
pub(super) fn send(letter: &Letter, authorities: &Authorities) -> Answer {
    let sent = message(letter).and_then(|message| {
        let transport = transport(letter, authorities)?;
        transport.send(&message).map_err(|problem| told(&problem))
    });
    match sent {
        Ok(_) => Answer::Taken,
        Err(why) => Answer::Failed { why: why.chars().take(TEXT).collect() },
    }
}

fn message(letter: &Letter) -> Result<Message, String> {
    if letter.subject.chars().any(char::is_control) {
        return Err("the subject has a control character".into());
    }
    if !(1..=64).contains(&letter.id.len()) || !letter.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("the letter's id is not hexadecimal".into());
    }
    let mailbox = |address: &Address| {
        let parsed = address.to_string().parse().map_err(|problem| format!("\"{address}\": {problem}"))?;
        Ok::<_, String>(Mailbox::new(None, parsed))
    };
    let date = UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(letter.date).unwrap_or(0)));
    let mut builder = Message::builder()
        .from(mailbox(&letter.from)?)
        .subject(&letter.subject)
        .date(date.unwrap_or(UNIX_EPOCH))
        .message_id(Some(format!("<{}@{}>", letter.id, letter.from.domain())))
        .header(MIME_VERSION_1_0)
        .header(ContentType::TEXT_PLAIN);
    for to in &letter.to {
        builder = builder.to(mailbox(to)?);
    }
    builder.body(letter.text.clone()).map_err(|problem| problem.to_string())
}

fn transport(letter: &Letter, authorities: &Authorities) -> Result<SmtpTransport, String> {
    let protection = match letter.security {
        Security::None => Tls::None,
        Security::Starttls => Tls::Required(authorities.for_mail(&letter.server)?),
        Security::Tls => Tls::Wrapper(authorities.for_mail(&letter.server)?),
    };
    let mut builder =
        SmtpTransport::builder_dangerous(&letter.server).port(letter.port).tls(protection).timeout(Some(PATIENCE));
    if let Some(name) = &letter.hello {
        builder = builder.hello_name(ClientId::Domain(name.clone()));
    }
    if let Some(login) = &letter.login {
        if letter.security == Security::None {
            return Err("a password is not sent without encryption".into());
        }
        builder = builder.credentials(Credentials::new(login.user.clone(), login.password.0.clone()));
    }
    Ok(builder.build())
}

fn told(problem: &lettre::transport::smtp::Error) -> String {
    if let Some(words) = tls::words(problem) {
        return words;
    }
    let mut text = problem.to_string();
    let mut next = std::error::Error::source(problem);
    while let Some(one) = next {
        let more = one.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = one.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Letter {
        Letter {
            server: "localhost".into(),
            port: 25,
            security: Security::None,
            login: None,
            hello: None,
            from: "agent@demo.example".parse().unwrap(),
            to: vec!["one@example.org".parse().unwrap(), "two@example.org".parse().unwrap()],
            date: 1_795_392_000,
            id: "00ff".into(),
            subject: "an update".into(),
            text: "first\n.\r\nBcc: x@y\nlast \u{e4}\n".into(),
        }
    }

    fn text(letter: &Letter) -> String {
        String::from_utf8(message(letter).unwrap().formatted()).unwrap()
    }

    #[test]
    fn a_letter_has_these_headers_and_no_others() {
        let text = text(&letter());
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let mut names: Vec<&str> = head.lines().map(|line| line.split(':').next().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "Content-Transfer-Encoding",
                "Content-Type",
                "Date",
                "From",
                "MIME-Version",
                "Message-ID",
                "Subject",
                "To"
            ]
        );
        for wanted in [
            "To: one@example.org, two@example.org",
            "Message-ID: <00ff@demo.example>",
            "Date: Mon, 23 Nov 2026 00:00:00 +0000",
        ] {
            assert!(head.contains(wanted), "{wanted} in {head}");
        }
    }

    #[test]
    fn the_same_letter_is_the_same_bytes() {
        assert_eq!(text(&letter()), text(&letter()));
    }

    #[test]
    fn a_line_break_in_a_header_is_refused() {
        for subject in ["a\r\nBcc: x@y", "a\nb", "a\0"] {
            assert!(message(&Letter { subject: subject.into(), ..letter() }).is_err(), "{subject:?}");
        }
        for id in ["", "x>\r\nBcc: x@y", "00 ff"] {
            assert!(message(&Letter { id: id.into(), ..letter() }).is_err(), "{id:?}");
        }
    }

    #[test]
    fn a_password_is_not_sent_without_encryption() {
        let login =
            Some(super::super::wire::Login { user: "a".into(), password: super::super::wire::Secret("b".into()) });
        let authorities = Authorities::new(None).unwrap();
        assert!(transport(&Letter { login: login.clone(), ..letter() }, &authorities).is_err());
        assert!(transport(&Letter { login, security: Security::Tls, ..letter() }, &authorities).is_ok());
    }
}
