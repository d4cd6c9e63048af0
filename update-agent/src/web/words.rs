//! Every word of the console in each language. A word that is missing in one does not compile.
//!
//! What the agent itself says - why a package is blocked, what a job did - is English in every language, and marked as such for screen
//! readers.

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// German.
    German,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// Its tag (RFC 5646).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// What it calls itself.
    pub const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::German => "Deutsch",
        }
    }

    /// The one with this tag.
    pub fn of_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.tag() == tag)
    }

    /// Its words.
    pub const fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::German => &GERMAN,
        }
    }
}

macro_rules! words {
    ($($name:ident: $english:literal, $german:literal;)*) => {
        /// The words of one language.
        #[derive(Debug)]
        #[expect(missing_docs, reason = "each is its own English")]
        pub struct Words {
            $(pub $name: &'static str,)*
        }

        static ENGLISH: Words = Words { $($name: $english,)* };
        static GERMAN: Words = Words { $($name: $german,)* };
        #[cfg(test)]
        const PAIRS: &[(&str, &str, &str)] = &[$((stringify!($name), $english, $german),)*];
    };
}

words! {
    accept_terms: "I accept the licence terms", "Ich akzeptiere die Lizenzbedingungen";
    account: "Account", "Konto";
    accounts: "Accounts", "Konten";
    action: "Action", "Aktion";
    actor: "Who", "Wer";
    add: "Add", "Hinzufügen";
    add_account: "Add an account", "Konto hinzufügen";
    add_token: "Make a token for a program", "Token für ein Programm anlegen";
    address: "Address with prefix length", "Adresse mit Präfixlänge";
    addresses: "Addresses now", "Adressen jetzt";
    administrator: "Administrator", "Administrator";
    appliance: "Appliance", "Gerät";
    audit: "Audit log", "Prüfprotokoll";
    audit_broken: "The log was changed at line", "Das Protokoll wurde verändert in Zeile";
    audit_holds: "Every line follows from the one before. The last one is", "Jede Zeile folgt aus der davor. Die letzte ist";
    available: "Available updates", "Verfügbare Aktualisierungen";
    back: "Back", "Zurück";
    base: "Base", "Basis";
    base_state: "State of the base", "Zustand der Basis";
    cancel_reset: "Take the factory reset back", "Zurücksetzen widerrufen";
    cancel_upgrade: "Cancel the upgrade", "Aktualisierung abbrechen";
    check: "Check for updates", "Nach Aktualisierungen suchen";
    checked: "Last checked", "Zuletzt gesucht";
    choose_restart: "The appliance restarts by itself where an update needs it.", "Das Gerät startet selbst neu, wo eine Aktualisierung es braucht.";
    claim: "Make the first account", "Das erste Konto anlegen";
    claim_code: "Claim code", "Inbetriebnahme-Code";
    claim_hint: "The appliance's own screen shows the code. Nobody can sign in before there is an account.", "Der Bildschirm des Geräts zeigt den Code. Bevor es ein Konto gibt, kann sich niemand anmelden.";
    commit: "Keep what is on trial", "Die Version auf Probe behalten";
    confirm_reset: "Type this to confirm", "Zur Bestätigung eingeben";
    connection_lost: "The appliance does not answer. If it restarts, this page comes back by itself.", "Das Gerät antwortet nicht. Startet es neu, kommt diese Seite von selbst wieder.";
    days: "Days until it ends", "Tage bis zum Ablauf";
    details: "Details", "Einzelheiten";
    did_not_work: "That did not work", "Das ging nicht";
    discard: "Discard", "Verwerfen";
    done: "Done", "Erledigt";
    download_key: "Download key", "Download-Schlüssel";
    download_key_hint: "For appliances without a way to the depot: enter this key at the depot's portal, and install the bundle it gives you.", "Für Geräte ohne Weg zum Depot: Geben Sie diesen Schlüssel im Portal des Depots ein und installieren Sie das Paket, das Sie dort erhalten.";
    download_key_make: "Make a download key", "Download-Schlüssel erzeugen";
    effects: "Effects", "Auswirkungen";
    effect_clients: "clients have to be upgraded", "Clients müssen aktualisiert werden";
    effect_none: "none", "keine";
    effect_reboot: "restart", "Neustart";
    effect_site: "short interruption of the application", "kurze Unterbrechung der Anwendung";
    ended: "Ended", "Beendet";
    entitled_until: "Updates until", "Aktualisierungen bis";
    expires: "Expires", "Läuft ab";
    failed_starts: "Starts that failed", "Fehlgeschlagene Starts";
    features: "Features", "Funktionen";
    find_out: "Show what has to be installed first", "Zeigen, was zuerst installiert werden muss";
    fingerprint: "SHA-256", "SHA-256";
    firmware: "Firmware", "Firmware";
    gateway: "Gateway", "Gateway";
    health: "Health", "Zustand";
    health_check: "Check", "Prüfung";
    health_wanted: "Has to hold", "Soll gelten";
    history: "History", "Verlauf";
    holds: "holds", "gilt";
    install: "Install this update", "Diese Aktualisierung installieren";
    install_all: "Install everything in order", "Alles der Reihe nach installieren";
    interface: "Interface (empty: the first one)", "Schnittstelle (leer: die erste)";
    language: "Language", "Sprache";
    licences: "Licences", "Lizenzen";
    licence_terms: "Licence terms", "Lizenzbedingungen";
    line: "Line", "Zeile";
    method: "Method", "Verfahren";
    name: "Name", "Name";
    name_servers: "Name servers", "Namensserver";
    navigation: "Pages", "Seiten";
    network: "Network", "Netzwerk";
    network_dhcp: "From a DHCP server", "Von einem DHCP-Server";
    network_hint: "When the address changes, this page has to be opened at the new one.", "Ändert sich die Adresse, muss diese Seite unter der neuen geöffnet werden.";
    network_static: "Always the same", "Immer dieselbe";
    new_password: "New password (12 characters or more)", "Neues Passwort (mindestens 12 Zeichen)";
    next_restart: "Next restart", "Nächster Neustart";
    next_restart_else: "If that fails", "Falls das scheitert";
    no_updates: "Nothing newer is offered.", "Es wird nichts Neueres angeboten.";
    not_checked: "No depot was asked yet.", "Es wurde noch kein Depot gefragt.";
    nothing: "nothing", "nichts";
    notes: "Release notes", "Versionshinweise";
    notes_read: "Read release notes and licence terms", "Versionshinweise und Lizenzbedingungen lesen";
    number: "Number", "Nummer";
    on_trial: "On trial", "Auf Probe";
    operator: "Operator", "Bediener";
    others: "Others in the depot", "Weitere im Depot";
    outcome: "Outcome", "Ergebnis";
    package: "Package", "Paket";
    password: "Password", "Passwort";
    password_change: "Change password", "Passwort ändern";
    password_present: "Your present password", "Ihr jetziges Passwort";
    plan: "The way there", "Der Weg dorthin";
    power_off_then: "Turn off afterwards", "Danach ausschalten";
    product: "Product", "Produkt";
    remove: "Remove", "Entfernen";
    reset: "Factory reset", "Werkseinstellungen";
    reset_do: "Destroy everything on the data partition", "Alles auf der Datenpartition vernichten";
    reset_hint: "Settings, accounts, certificates, licences and the application's data are destroyed. What is installed stays.", "Einstellungen, Konten, Zertifikate, Lizenzen und die Daten der Anwendung werden vernichtet. Was installiert ist, bleibt.";
    reset_pending: "A factory reset waits for the next restart.", "Beim nächsten Neustart wird auf Werkseinstellungen zurückgesetzt.";
    restart: "Restart", "Neu starten";
    restart_safe: "A restart or power cut is safe at any time.", "Ein Neustart oder Stromausfall ist jederzeit ungefährlich.";
    role: "Role", "Rolle";
    rollback: "Go back to the release before", "Zur vorigen Version zurückkehren";
    rollback_site: "Go back to the site before", "Zur vorigen Site zurückkehren";
    save: "Save", "Speichern";
    secure_boot: "Secure Boot", "Secure Boot";
    show_once: "This is shown once.", "Dies wird nur einmal angezeigt.";
    sign_in: "Sign in", "Anmelden";
    sign_out: "Sign out", "Abmelden";
    site: "Site", "Site";
    site_state: "State of the site", "Zustand der Site";
    size: "Size", "Größe";
    skip: "To the content", "Zum Inhalt";
    slot: "Slot", "Slot";
    slots: "Slots", "Slots";
    source: "From", "Von";
    staged: "Staged packages", "Bereitliegende Pakete";
    stage: "Download only", "Nur herunterladen";
    state: "State", "Zustand";
    status: "Status", "Status";
    terms_open: "Licence terms have to be accepted first.", "Zuerst müssen Lizenzbedingungen akzeptiert werden.";
    theme: "Colours", "Farben";
    theme_auto: "As the device", "Wie das System";
    theme_dark: "Dark", "Dunkel";
    theme_light: "Light", "Hell";
    time: "Time", "Zeit";
    title: "Console", "Konsole";
    tokens: "Tokens", "Tokens";
    unhealthy: "does not hold", "gilt nicht";
    until: "Until", "Bis";
    up_to: "Up to", "Bis zu";
    updates: "Updates", "Aktualisierungen";
    upgrade: "Upgrade", "Aktualisierung";
    viewer: "Viewer", "Betrachter";
    warnings: "Warnings", "Warnungen";
    working: "At work", "In Arbeit";
    yes: "yes", "ja";
    no: "no", "nein";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_every_word_and_they_are_not_all_the_same() {
        let mut same = Vec::new();
        for (name, english, german) in PAIRS {
            assert!(!english.trim().is_empty() && !german.trim().is_empty(), "{name}");
            for end in ['.', '?', ':'] {
                assert_eq!(english.ends_with(end), german.ends_with(end), "{name}");
            }
            if english == german {
                same.push(*name);
            }
        }
        assert!(same.len() < PAIRS.len() / 8, "not translated: {same:?}");
    }

    #[test]
    fn a_language_is_found_by_its_tag() {
        for language in Language::ALL {
            assert_eq!(Language::of_tag(language.tag()), Some(language));
            assert!(!language.name().is_empty());
        }
        assert_eq!(Language::of_tag("fr"), None);
        assert!(Language::German.words().sign_in != Language::English.words().sign_in);
    }
}
