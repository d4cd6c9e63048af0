//! What can be chosen, what is asked before it happens, and which commands it comes to. Pure.
//!
//! The console has no power of its own: every choice is a command of this program or of the system that anybody at a shell could
//! type, so what the agent refuses is refused here as well, with the same words. Whatever stops the service, a restart included, wants
//! a typed `yes`; a factory reset asks for its own words.

use std::net::IpAddr;

use formats::SlotId;
use formats::network::{Address, Fixed, MAX_DNS, Network};

use super::screen::{View, occupant};
use crate::lifecycle::{Occupant, Spare, State, Summary};

/// One line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it says.
    pub label: String,
    /// What choosing it leads to.
    pub leads_to: Dialog,
}

/// A command to run on the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// This program with these words.
    Agent(Vec<String>),
    /// A program of the system.
    System(&'static str),
}

/// What the person at the machine is being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialog {
    /// The menu.
    Menu,
    /// Whether to do this, which is explained.
    Confirm(String, Vec<Order>),
    /// DHCP or a fixed address.
    Address,
    /// The gateway for this address.
    Gateway(Address),
    /// The name servers, after address and gateway.
    Servers(Address, Option<IpAddr>),
}

/// What an answer leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What is asked next.
    pub next: Dialog,
    /// What the person is told.
    pub note: Option<String>,
    /// To be run now, one after the other, until one fails.
    pub orders: Vec<Order>,
}

/// The menu in this state.
pub fn items(view: &View) -> Vec<Item> {
    let item = |label: &str, leads_to| Item { label: label.to_owned(), leads_to };
    let summary = view.lifecycle.as_ref().map(|(_, summary)| summary);
    let mut items = view.lifecycle.as_ref().map(|(state, summary)| slot_items(*state, summary)).unwrap_or_default();
    if let Some(site) = summary.and_then(|summary| summary.site_on_trial.as_ref()) {
        items.extend(site_items(&occupant(site)));
    }
    if summary.is_some_and(|summary| summary.next_restart.reset.is_some()) {
        let cancel = vec![agent(&["factory-reset", "--cancel"])];
        let why = "The next restart is an ordinary one, and nothing is destroyed.";
        items.push(item("Take the factory reset back", Dialog::Confirm(why.into(), cancel)));
    }
    items.push(item(&format!("Set the network address (now {})", view.setting), Dialog::Address));
    let restart = "Everything this appliance serves stops until it is up again.";
    items.push(item("Restart", Dialog::Confirm(restart.into(), vec![Order::System("reboot")])));
    let off = "The appliance turns itself off and must be turned on by hand.";
    items.push(item("Power off", Dialog::Confirm(off.into(), vec![Order::System("poweroff")])));
    let reset = "Factory reset: settings, records and whatever the site stored are destroyed; the installed releases \
                 stay. You are asked for the words that confirm it, and then the appliance restarts.";
    items.push(item("Factory reset", Dialog::Confirm(reset.into(), vec![agent(&["factory-reset"])])));
    items
}

fn slot_items(state: State, summary: &Summary) -> Vec<Item> {
    let name = |slot: SlotId| occupant(&Occupant { slot, release: summary.base.get(slot).release.clone() });
    let item = |label: String, why: String, orders: Vec<Order>| Item { label, leads_to: Dialog::Confirm(why, orders) };
    let restart = || Order::System("reboot");
    match state {
        State::Steady { home, spare: Spare::Good } => {
            let (other, this) = (name(!home), name(home));
            vec![item(
                format!("Restart into the other slot: {other}"),
                format!("{other} is read and checked, then starts on trial. If it is not healthy, {this} comes back."),
                vec![agent(&["rollback"]), restart()],
            )]
        }
        State::Armed { home, candidate, .. } => vec![
            item(
                format!("Restart into the other slot, on trial: {}", name(candidate)),
                format!("{} starts on trial. If it is not healthy, {} comes back.", name(candidate), name(home)),
                vec![restart()],
            ),
            item(
                format!("Take back what waits for the restart: {}", name(candidate)),
                format!("{} keeps running and {} will not start.", name(home), name(candidate)),
                vec![agent(&["rollback"])],
            ),
        ],
        State::Trial { home, candidate, .. } => vec![
            item(
                format!("Keep what is on trial: {}", name(candidate)),
                format!(
                    "{} is kept now, without waiting for its checks. {} stays as the way back.",
                    name(candidate),
                    name(home)
                ),
                vec![agent(&["commit"])],
            ),
            item(
                format!("Leave the trial, restart into {}", name(home)),
                format!("{} is given up and {} starts again.", name(candidate), name(home)),
                vec![agent(&["rollback"]), restart()],
            ),
        ],
        // Nothing but a restart, or nothing at all, is possible; the line "update" says why.
        State::Steady { .. }
        | State::Writing { .. }
        | State::NotLoaded { .. }
        | State::Failed { .. }
        | State::Leaving { .. }
        | State::Unproven { .. }
        | State::Lost { .. } => Vec::new(),
    }
}

fn site_items(site: &str) -> [Item; 2] {
    let item = |label: String, why: String, words| Item { label, leads_to: Dialog::Confirm(why, vec![agent(words)]) };
    [
        item(
            format!("Keep the site on trial: {site}"),
            format!("{site} is kept now, without waiting for its checks, and so is a base on trial."),
            &["commit"],
        ),
        item(
            format!("Leave the site on trial: {site}"),
            "The site before it is started again, without a restart.".into(),
            &["rollback", "--site"],
        ),
    ]
}

impl Dialog {
    /// The words in front of the cursor.
    pub const fn prompt(&self) -> &'static str {
        match self {
            Self::Menu => " Number, or Enter to look again: ",
            Self::Confirm(..) => " Type yes to do it, Enter to go back: ",
            Self::Address => " dhcp, or address/prefix, or Enter to go back: ",
            Self::Gateway(_) => " Gateway, or Enter for none: ",
            Self::Servers(..) => " Name servers, or Enter for none: ",
        }
    }

    /// What has to be known before answering.
    pub fn explanation(&self) -> Vec<String> {
        match self {
            Self::Menu => Vec::new(),
            Self::Confirm(why, _) => vec![why.clone()],
            Self::Address => vec![
                "How does the appliance get its address? Type dhcp, or a fixed address with the length of its \
                 prefix, for example 192.0.2.10/24. Connections to the old address end."
                    .into(),
            ],
            Self::Gateway(address) => vec![format!("{address}. Through which machine of this network to the others?")],
            Self::Servers(address, _) => {
                vec![format!("{address}. Which name servers, at most {MAX_DNS}, with spaces between them?")]
            }
        }
    }

    /// What this line of input leads to. Nothing that cannot be understood has a consequence.
    pub fn answer(self, line: &str, view: &View) -> Answer {
        let line = line.trim();
        let stay = |next: Self, note: String| Answer { next, note: Some(note), orders: Vec::new() };
        match self {
            Self::Menu => chosen(line, view),
            Self::Confirm(_, orders) if line == "yes" => Answer { next: Self::Menu, note: None, orders },
            Self::Confirm(..) => stay(Self::Menu, "nothing was done".into()),
            Self::Address if line.is_empty() => stay(Self::Menu, "the network stays as it is".into()),
            Self::Address if line == "dhcp" => set(&Network::Dhcp),
            Self::Address => match line.parse() {
                Ok(address) => match Fixed::new(None, address, None, Vec::new()) {
                    Ok(_) => Answer { next: Self::Gateway(address), note: None, orders: Vec::new() },
                    Err(problem) => stay(Self::Address, problem.to_string()),
                },
                Err(problem) => stay(Self::Address, problem.to_string()),
            },
            Self::Gateway(address) => match gateway(address, line) {
                Ok(gateway) => Answer { next: Self::Servers(address, gateway), note: None, orders: Vec::new() },
                Err(problem) => stay(Self::Gateway(address), problem),
            },
            Self::Servers(address, gateway) => {
                let servers: Result<Vec<IpAddr>, _> = line.split_whitespace().map(str::parse).collect();
                let fixed = servers
                    .map_err(|_| "these are not addresses such as 192.0.2.53".to_owned())
                    .and_then(|dns| Fixed::new(None, address, gateway, dns).map_err(|problem| problem.to_string()));
                match fixed {
                    Ok(fixed) => set(&Network::Static(fixed)),
                    Err(problem) => stay(Self::Servers(address, gateway), problem),
                }
            }
        }
    }
}

fn chosen(line: &str, view: &View) -> Answer {
    let nothing = |note| Answer { next: Dialog::Menu, note, orders: Vec::new() };
    if line.is_empty() {
        return nothing(None);
    }
    let items = items(view);
    let item = line.parse::<usize>().ok().and_then(|number| items.get(number.checked_sub(1)?));
    match item {
        Some(item) => Answer { next: item.leads_to.clone(), note: None, orders: Vec::new() },
        None => nothing(Some(format!("choose a number from 1 to {}", items.len()))),
    }
}

fn gateway(address: Address, line: &str) -> Result<Option<IpAddr>, String> {
    if line.is_empty() {
        return Ok(None);
    }
    let gateway = line.parse().map_err(|_| "this is no address such as 192.0.2.1".to_owned())?;
    Fixed::new(None, address, Some(gateway), Vec::new()).map_err(|problem| problem.to_string())?;
    Ok(Some(gateway))
}

fn set(network: &Network) -> Answer {
    let mut words: Vec<String> = vec!["network".into(), "set".into()];
    match network {
        Network::Dhcp => words.push("dhcp".into()),
        Network::Static(fixed) => {
            words.push(fixed.address().to_string());
            words.extend(fixed.gateway().map(|gateway| format!("--gateway={gateway}")));
            words.extend(fixed.dns().iter().map(|server| format!("--dns={server}")));
        }
    }
    Answer { next: Dialog::Menu, note: None, orders: vec![Order::Agent(words)] }
}

fn agent(words: &[&str]) -> Order {
    Order::Agent(words.iter().map(|word| (*word).to_owned()).collect())
}
