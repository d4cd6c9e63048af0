//! The pages: plain HTML without a script. Whatever was not written here goes through [`escaped`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use formats::Digest;
use formats::download_key::SignedKey;
use formats::manifest::Date;
use formats::plan::{Installed, Standing};
use hyper::{Response, StatusCode, header};

use super::super::answer::{Bringing, Offer, Shelf};
use super::super::ranged::{self, Part};

/// The form for a key.
pub(super) fn form(shelf: &Shelf<'_>) -> Response<Part> {
    let product = escaped(&shelf.catalogue().index().product);
    let content = format!(
        "<h1>Updates for {product}</h1>
<p>For appliances without a way to this depot. On the appliance, <code>update-agent download-key</code> prints a key; paste it here.</p>
<form method=\"post\" action=\"/portal\">
<label for=\"key\">Download key</label>
<textarea id=\"key\" name=\"key\" rows=\"8\" required spellcheck=\"false\" autocomplete=\"off\"></textarea>
<button>Show updates</button>
</form>"
    );
    page(StatusCode::OK, &content)
}

/// What an appliance would see, and a button for all of it.
pub(super) fn list(
    signed: &SignedKey,
    key: &str,
    offers: &[Offer],
    plan: &Result<Bringing, String>,
    reissues: u32,
) -> Response<Part> {
    let inventory = &signed.key().inventory;
    let mut content = format!(
        "<h1>Updates for appliance {}</h1>\n<p>It runs {}{}. Channel {}. The key is good until {}.</p>\n",
        escaped(&inventory.appliance),
        release(&inventory.base),
        inventory.site.as_ref().map(|site| format!(" and {}", release(site))).unwrap_or_default(),
        escaped(&inventory.channel),
        Date::shown(signed.key().expires),
    );
    content.push_str("<table>\n<tr><th>Package</th><th>Where it stands</th><th>Size</th></tr>\n");
    for offer in offers {
        row(&mut content, offer, reissues);
    }
    content.push_str("</table>\n");
    match plan {
        Ok(plan) => way(&mut content, key, offers, plan),
        Err(problem) => paragraph(&mut content, problem),
    }
    page(StatusCode::OK, &content)
}

fn row(content: &mut String, offer: &Offer, reissues: u32) {
    let id = offer.row.package.to_string();
    let mut stands = escaped(&offer.summary);
    if let Some(issues) = offer.downloaded {
        let most = reissues.saturating_add(1);
        let again = format!("; downloaded {} ({} of {most} times)", Date::shown(issues.last), issues.count);
        stands.push_str(&again);
    }
    if offer.eula && offer.row.standing != Standing::Installed {
        stands.push_str("; its licence terms have to be accepted on the appliance");
    }
    let notes = if offer.notes.is_empty() {
        String::new()
    } else {
        format!("<details><summary>Release notes</summary><pre>{}</pre></details>", escaped(&offer.notes))
    };
    add(
        content,
        format_args!(
            "<tr><td>{}<br><small>SHA-256 {}</small></td><td>{stands}{notes}</td><td>{}</td></tr>\n",
            escaped(&id),
            offer.sha256,
            escaped(&offer.size.to_string())
        ),
    );
}

/// The steps, and the form that takes them.
fn way(content: &mut String, key: &str, offers: &[Offer], plan: &Bringing) {
    content.push_str("<h2>In this order</h2>\n");
    for sentence in plan.sentences() {
        paragraph(content, &sentence);
    }
    let open = |offer: &&Offer| matches!(offer.row.standing, Standing::Available | Standing::Blocked { .. });
    let choices: Vec<&Offer> = offers.iter().filter(open).collect();
    if plan.order().is_empty() && choices.is_empty() {
        return;
    }
    add(
        content,
        format_args!(
            "<form method=\"post\" action=\"/portal/bundle\">\n<input type=\"hidden\" name=\"key\" value=\"{}\">\n\
             <label for=\"to\">Up to</label>\n<select id=\"to\" name=\"to\">\n<option value=\"\">the newest</option>\n",
            escaped(key)
        ),
    );
    for offer in choices {
        let id = escaped(&offer.row.package.to_string());
        add(content, format_args!("<option value=\"{id}\">{id}</option>\n"));
    }
    content.push_str(
        "</select>\n<button>Download the path bundle</button>\n</form>\n\
         <p>One file. Carry it to the appliance, and install it there with <code>update-agent install FILE.path</code>. \
         <code>bulkhead verify FILE.path --trust 1.root.json</code> verifies it before, on any machine.</p>\n",
    );
}

/// Where the bundle is, for clients that do not follow by themselves.
pub(super) fn moved(place: &str) -> Response<Part> {
    let place = escaped(place);
    page(StatusCode::SEE_OTHER, &format!("<p><a href=\"{place}\">The path bundle</a></p>"))
}

/// Why not.
pub(super) fn problem(status: StatusCode, problem: &str) -> Response<Part> {
    let mut content = String::from("<h1>That did not work</h1>\n");
    paragraph(&mut content, problem);
    content.push_str("<p><a href=\"/portal\">Begin again</a></p>");
    page(status, &content)
}

fn release(installed: &Installed) -> String {
    escaped(&format!("{} {}", installed.name, installed.version))
}

fn paragraph(content: &mut String, text: &str) {
    add(content, format_args!("<p>{}</p>\n", escaped(text)));
}

fn add(content: &mut String, text: std::fmt::Arguments<'_>) {
    content.push_str(&text.to_string());
}

fn page(status: StatusCode, content: &str) -> Response<Part> {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Updates</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<main>\n{content}\n</main>\n</body>\n</html>\n"
    );
    let mut response = ranged::text(status, html);
    let style = BASE64.encode(Digest::of(STYLE.as_bytes()).0);
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        ranged::set(&mut response, name, value);
    }
    response
}

/// Text that stays text wherever it stands in a page, attributes in double quotes included.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

const STYLE: &str = "body{font:16px/1.5 sans-serif;margin:0;color:#1b1b1b;background:#fff}main{max-width:64rem;margin:0 auto;padding:1rem}\
textarea{display:block;width:100%;box-sizing:border-box;font-family:monospace}button{font:inherit;padding:.4rem 1rem;margin-top:.5rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.4rem;border-bottom:1px solid #ccc}\
small{color:#555;word-break:break-all}pre{white-space:pre-wrap}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(escaped("<script a=\"b\">'&amp;'"), "&lt;script a=&quot;b&quot;&gt;&#39;&amp;amp;&#39;");
    }
}
