//! Where an appliance looks for packages: what its base brings, and over it what its operator says.
//!
//! Both are the same small file, `depot.json`; a field that is not said is taken from the other. Known attacks and our defence: whoever had
//! the disk in hand may have written the operator's. It can only lead to another depot, whose metadata has to be signed all the same; every
//! length is bounded, and an address has no user, no query and no character that means something to another program.

use serde::{Deserialize, Serialize};

use crate::mail::{FileName, Mail};
use crate::manifest::check_name;
use crate::window::Window;
use crate::{Error, Result, json};

/// Longest file in bytes.
pub const MAX_FILE: usize = 8 << 10;
/// The version of this format.
pub const FORMAT: u32 = 1;
/// The channel of a depot whose appliance was not told one.
pub const CHANNEL: &str = "stable";

/// One `depot.json`. Its fields are only what [`Setting::parse`] and [`Setting::checked`] let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Setting {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The depot's folder, for example `https://depot.example/demo`; without a slash at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What to follow there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The rollout ring the operator chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<String>,
    /// The HTTP proxy to go through, for example `http://proxy.example:3128`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// The user the proxy wants; goes with `proxy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_user: Option<String>,
    /// The file with that user's password, beside this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_password_file: Option<FileName>,
    /// A file with certificates (PEM), beside this file: whoever they belong to may vouch for servers too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<FileName>,
    /// Most bytes each second of a download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
    /// Hours between two checks; zero: only when asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_hours: Option<u32>,
    /// What the appliance does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<Auto>,
    /// When what disturbs people may begin; none: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Who is told by mail what there is; none: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<Mail>,
}

/// What an appliance does by itself; each does what those before it do too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auto {
    /// Nothing: it does not even ask.
    No,
    /// Asks the depot.
    #[default]
    Check,
    /// Fetches what is next.
    Stage,
    /// Goes the whole way to the newest, in the maintenance window.
    Install,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            format: FORMAT,
            url: None,
            channel: None,
            ring: None,
            proxy: None,
            proxy_user: None,
            proxy_password_file: None,
            ca_file: None,
            bandwidth: None,
            check_hours: None,
            auto: None,
            window: None,
            mail: None,
        }
    }
}

impl Setting {
    /// Reads one file.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let setting: Self = json::document(WHAT, bytes, MAX_FILE, FORMAT)?;
        setting.checked().map_err(|error| Error::corrupt(WHAT, error.to_string()))
    }

    /// The bytes of the file. `Invalid` when a field breaks its rule.
    pub fn encode(&self) -> Result<Vec<u8>> {
        json::encode(WHAT, &self.clone().checked()?)
    }

    /// The same, once every field keeps to its rule.
    pub fn checked(self) -> Result<Self> {
        self.url.as_deref().map_or(Ok(()), |url| check_url("url", url))?;
        self.channel.as_deref().map_or(Ok(()), |channel| check_name("channel", channel))?;
        self.ring.as_deref().map_or(Ok(()), |ring| check_name("ring", ring))?;
        if let Some(proxy) = self.proxy.as_deref() {
            check_url("proxy", proxy)?;
            if proxy.strip_prefix("http://").is_none_or(|host| host.contains('/')) {
                return Err(invalid("proxy", proxy, "like http://proxy.example:3128"));
            }
        }
        self.check_proxy_login()?;
        if let Some(bandwidth) = self.bandwidth.filter(|bytes| !(MIN_BANDWIDTH..=MAX_BANDWIDTH).contains(bytes)) {
            let problem = format!("bandwidth {bandwidth} is not {MIN_BANDWIDTH} to {MAX_BANDWIDTH} bytes a second");
            return Err(Error::invalid(WHAT, problem));
        }
        if let Some(hours) = self.check_hours.filter(|hours| *hours > MAX_HOURS) {
            return Err(Error::invalid(WHAT, format!("check-hours {hours} is more than {MAX_HOURS}")));
        }
        let mail = self.mail.map(Mail::checked).transpose()?;
        Ok(Self { mail, ..self })
    }

    fn check_proxy_login(&self) -> Result<()> {
        let refused = |problem: &str| Err(Error::invalid(WHAT, problem));
        let (user, password) = (self.proxy_user.as_deref(), &self.proxy_password_file);
        if user.is_some() != password.is_some() || (user.is_some() && self.proxy.is_none()) {
            return refused("\"proxy-user\" and \"proxy-password-file\" come together, and with \"proxy\"");
        }
        // A colon would end the name early: the two travel as one text with a colon between them.
        let plain = |user: &str| {
            user.bytes().all(|b| b.is_ascii_graphic() && b != b':') && (1..=MAX_USER).contains(&user.len())
        };
        match user.filter(|user| !plain(user)) {
            Some(user) => Err(invalid("proxy-user", user, "printable ASCII without spaces and colons")),
            None => Ok(()),
        }
    }

    /// This setting where it says something, `below` elsewhere. A proxy and who logs in there are one thing, and so is mail: a password is
    /// never sent to a server that another file names.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        let (proxy, proxy_user, proxy_password_file) = match self.proxy {
            Some(proxy) => (Some(proxy), self.proxy_user, self.proxy_password_file),
            None => (below.proxy, below.proxy_user, below.proxy_password_file),
        };
        Self {
            format: FORMAT,
            url: self.url.or(below.url),
            channel: self.channel.or(below.channel),
            ring: self.ring.or(below.ring),
            proxy,
            proxy_user,
            proxy_password_file,
            ca_file: self.ca_file.or(below.ca_file),
            bandwidth: self.bandwidth.or(below.bandwidth),
            check_hours: self.check_hours.or(below.check_hours),
            auto: self.auto.or(below.auto),
            window: self.window.or(below.window),
            mail: self.mail.or(below.mail),
        }
    }
}

/// `http` or `https`, a host, perhaps a port and a path of plain segments.
fn check_url(field: &'static str, url: &str) -> Result<()> {
    let bad = || invalid(field, url, "like http://depot.example/demo");
    if url.len() > MAX_URL {
        return Err(bad());
    }
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).ok_or_else(bad)?;
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~'))
    };
    let segment = |text: &str| plain(text) && text != "." && text != "..";
    if check_authority(authority, plain) && path.is_none_or(|path| path.split('/').all(segment)) {
        return Ok(());
    }
    Err(bad())
}

fn check_authority(authority: &str, plain: impl Fn(&str) -> bool) -> bool {
    let port_is_one = |port: &str| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.len() <= 5 && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let ends = port.is_empty() || port.strip_prefix(':').is_some_and(port_is_one);
        return address.parse::<std::net::Ipv6Addr>().is_ok() && ends;
    }
    match authority.split_once(':') {
        Some((host, port)) => plain(host) && !host.starts_with('-') && port_is_one(port),
        None => plain(authority) && !authority.starts_with('-'),
    }
}

fn invalid(field: &'static str, text: &str, wanted: &str) -> Error {
    Error::invalid(WHAT, format!("{field} \"{}\" is not {wanted}", json::shown(text)))
}

const WHAT: &str = "depot setting";
const MAX_URL: usize = 512;
const MIN_BANDWIDTH: u64 = 1 << 10;
const MAX_BANDWIDTH: u64 = 1 << 40;
const MAX_HOURS: u32 = 24 * 365;
const MAX_USER: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn with_url(url: &str) -> Result<Setting> {
        Setting { url: Some(url.into()), ..Setting::default() }.checked()
    }

    #[test]
    fn the_operator_is_over_the_base_field_by_field() {
        let base = Setting::parse(br#"{"format":1,"url":"http://depot.example/demo","channel":"stable","later":1}"#);
        let own = Setting::parse(br#"{"format":1,"channel":"beta","bandwidth":100000,"check-hours":0}"#).unwrap();
        let both = own.over(base.unwrap());
        assert_eq!(both.url.as_deref(), Some("http://depot.example/demo"));
        assert_eq!((both.channel.as_deref(), both.bandwidth, both.check_hours), (Some("beta"), Some(100_000), Some(0)));
        assert_eq!(Setting::parse(&both.encode().unwrap()), Ok(both));
    }

    #[test]
    fn a_password_goes_to_no_server_that_another_file_names() {
        let base = br#"{"format":1,"proxy":"http://proxy.example:3128","proxy-user":"hall","proxy-password-file":"proxy-password"}"#;
        let base = Setting::parse(base).unwrap();
        let own = Setting::parse(br#"{"format":1,"proxy":"http://elsewhere:3128"}"#).unwrap();
        let both = own.over(base.clone());
        assert_eq!((both.proxy_user, both.proxy_password_file), (None, None));
        assert_eq!(Setting::default().over(base.clone()).proxy_user.as_deref(), Some("hall"));
        assert_eq!(Setting::parse(&base.encode().unwrap()), Ok(base));
    }

    #[test]
    fn each_kind_of_doing_by_itself_does_what_those_before_it_do() {
        let auto =
            |word: &str| Setting::parse(format!(r#"{{"format":1,"auto":"{word}"}}"#).as_bytes()).unwrap().auto.unwrap();
        assert!(auto("no") < auto("check") && auto("check") < auto("stage") && auto("stage") < auto("install"));
        assert_eq!(Auto::default(), Auto::Check);
    }

    #[test]
    fn addresses_are_a_host_and_a_plain_path() {
        for url in [
            "http://depot.example",
            "https://depot.example:8443/a/b-c_d~1",
            "http://192.0.2.1:80/x",
            "http://[2001:db8::1]:8080/x",
            "http://[::1]",
        ] {
            assert!(with_url(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "depot.example",
            "ftp://depot.example",
            "file:///etc",
            "http://",
            "http:///x",
            "http://-x",
            "http://user@depot.example",
            "http://depot.example/",
            "http://depot.example//x",
            "http://depot.example/../x",
            "http://depot.example/./x",
            "http://depot.example/x?y",
            "http://depot.example/x#y",
            "http://depot.example/%2e",
            "http://depot.example:0",
            "http://depot.example:65536",
            "http://depot.example:+80",
            "http://depot.example:",
            "http://depot.example\r\nX: y",
            "http://[::1",
            "http://[::1]x",
            "http://[::1]x]",
            "http://[x]",
            "http://d\u{e9}pot.example",
        ] {
            assert!(with_url(url).is_err(), "{url}");
        }
        assert!(with_url(&format!("http://d/{}", "x".repeat(MAX_URL))).is_err());
    }

    #[test]
    fn what_breaks_a_rule_is_refused() {
        for text in [
            "",
            "{}",
            r#"{"format":2}"#,
            r#"{"format":1,"channel":"a b"}"#,
            r#"{"format":1,"ring":""}"#,
            r#"{"format":1,"proxy":"https://proxy"}"#,
            r#"{"format":1,"proxy":"http://proxy/x"}"#,
            r#"{"format":1,"bandwidth":1}"#,
            r#"{"format":1,"bandwidth":-1}"#,
            r#"{"format":1,"check-hours":100000}"#,
            r#"{"format":1,"url":"http://a","url":"http://b"}"#,
            r#"{"format":1,"proxy-user":"a","proxy-password-file":"b"}"#,
            r#"{"format":1,"proxy":"http://p","proxy-user":"a"}"#,
            r#"{"format":1,"proxy":"http://p","proxy-user":"a:b","proxy-password-file":"c"}"#,
            r#"{"format":1,"proxy":"http://p","proxy-user":"a\r\nX: y","proxy-password-file":"c"}"#,
            r#"{"format":1,"ca-file":"/etc/shadow"}"#,
            r#"{"format":1,"ca-file":".."}"#,
            r#"{"format":1,"auto":"yes"}"#,
            r#"{"format":1,"window":{"from":"25:00","to":"01:00"}}"#,
            r#"{"format":1,"mail":{"server":"x","from":"a@b","to":[]}}"#,
        ] {
            assert!(Setting::parse(text.as_bytes()).is_err(), "{text}");
        }
        let long = format!(r#"{{"format":1,"x":"{}"}}"#, "x".repeat(MAX_FILE));
        assert!(Setting::parse(long.as_bytes()).is_err());
    }
}
