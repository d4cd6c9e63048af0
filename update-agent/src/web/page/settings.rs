//! Network address and factory reset.

use maud::{Markup, html};

use super::Reader;
use super::parts::{button, proof, said};
use crate::account::Role;
use crate::web::view::View;

/// How the appliance gets its address.
pub fn network(reader: &Reader, facts: View<'_>) -> Markup {
    let words = reader.words();
    let setting = facts.at("/setting");
    let fixed = setting.at("/method").text() == "static";
    let field = |name: &str, label: &str, value: String| {
        html! { label { (label) input name=(name) value=(value) autocomplete="off" spellcheck="false"; } }
    };
    let dns: Vec<String> = setting.at("/dns").list().map(View::text).collect();
    html! {
        section {
            h2 { (words.addresses) }
            ul { @for one in facts.at("/addresses").list() { li { (one.text()) } } }
            @if let Some(problem) = facts.at("/problem").some() { p.problem { (said(&problem)) } }
        }
        @if reader.may(Role::Administrator) {
            form method="post" action="/do/network" {
                (proof(reader))
                fieldset {
                    legend { (words.method) }
                    label { input type="radio" name="method" value="dhcp" checked[!fixed]; " " (words.network_dhcp) }
                    label { input type="radio" name="method" value="static" checked[fixed]; " " (words.network_static) }
                }
                (field("address", words.address, setting.at("/address").text()))
                (field("gateway", words.gateway, setting.at("/gateway").text()))
                (field("dns", words.name_servers, dns.join(" ")))
                (field("interface", words.interface, setting.at("/interface").text()))
                p { (words.network_hint) }
                button { (words.save) }
            }
        }
    }
}

/// Destroying everything.
pub fn reset(reader: &Reader, status: View<'_>) -> Markup {
    let words = reader.words();
    let lifecycle = if status.at("/lifecycle").there() { status.at("/lifecycle") } else { status };
    html! {
        @if lifecycle.at("/next-restart/reset").there() {
            p.problem { (words.reset_pending) }
            (button(reader, "cancel-reset", words.cancel_reset, &[]))
        }
        @if reader.may(Role::Administrator) {
            form method="post" action="/do/factory-reset" {
                (proof(reader))
                p { (words.reset_hint) }
                label {
                    (words.confirm_reset) ": " strong { (status.at("/site/hostname").some().unwrap_or_else(|| status.at("/product").text())) }
                    input name="confirm" required autocomplete="off" spellcheck="false";
                }
                label { input type="checkbox" name="power-off"; " " (words.power_off_then) }
                button.danger { (words.reset_do) }
            }
        }
    }
}
