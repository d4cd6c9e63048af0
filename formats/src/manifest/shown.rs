//! A manifest for people. Every value printed has passed the checks, so it is printable ASCII.

use std::fmt;

use super::{Date, Effects, ImageInfo, Kind, LicenceInfo, Manifest, SiteInfo};

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let development = if self.development { " (development)" } else { "" };
        writeln!(f, "{} package {} {}{development}", self.kind, self.name, self.version)?;
        writeln!(f, "  product      {}", self.product)?;
        writeln!(f, "  build id     {}", self.build_id)?;
        writeln!(f, "  sequence     {}", self.sequence)?;
        if !self.hardware.is_empty() {
            writeln!(f, "  hardware     {}", self.hardware.join(", "))?;
        }
        for (what, range) in [("base", &self.requires.base), ("site", &self.requires.site)] {
            if let Some(range) = range {
                writeln!(f, "  requires     {what} {range}")?;
            }
        }
        writeln!(f, "  effects      {}", self.effects)?;
        match Date::of_unix(self.created) {
            Some(day) => writeln!(f, "  created      {day} ({} s)", self.created)?,
            None => writeln!(f, "  created      {} s", self.created)?,
        }
        if let Some(day) = self.support_end {
            writeln!(f, "  support end  {day}")?;
        }
        self.image.iter().try_for_each(|image| image.fmt(f))?;
        self.site.iter().try_for_each(|site| site.fmt(f))?;
        if let Some(licence) = &self.licence {
            licence_lines(f, licence)?;
        }
        for check in &self.health {
            writeln!(f, "  health       {check}")?;
        }
        if let Some(trial) = self.trial {
            writeln!(f, "  trial        {trial}")?;
        }
        for (name, member) in &self.members {
            writeln!(f, "  member       {name}, {}, sha256 {}", member.size, member.digest)?;
        }
        Ok(())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base => "base",
            Self::Site => "site",
            Self::Licence => "licence",
        })
    }
}

impl Effects {
    /// What users will notice when it is installed, the wait behind it not counted. A restart takes the application away anyhow.
    pub fn sentences(self) -> impl Iterator<Item = String> {
        let all = [
            (self.reboot, "the appliance restarts"),
            (self.site_downtime && !self.reboot, "the application is away for a moment"),
            (self.client_upgrade, "client programs have to be upgraded"),
        ];
        all.into_iter().filter(|(holds, _)| *holds).map(|(_, words)| words.to_owned())
    }
}

impl fmt::Display for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        for (holds, word) in
            [(self.reboot, "restart"), (self.site_downtime, "site away"), (self.client_upgrade, "clients must upgrade")]
        {
            if holds {
                words.push(word.to_owned());
            }
        }
        if let Some(hours) = self.soak_hours {
            words.push(format!("soak {hours} h"));
        }
        if words.is_empty() { f.write_str("none") } else { f.write_str(&words.join(", ")) }
    }
}

impl fmt::Display for ImageInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  image        {}, {} data blocks, tree from block {}",
            self.size, self.data_blocks, self.hash_start
        )?;
        writeln!(f, "  root hash    {}", self.root_hash)?;
        writeln!(f, "  salt         {}", hex::encode(self.salt))?;
        writeln!(f, "  hash uuid    {}", self.hash_uuid)
    }
}

fn licence_lines(f: &mut fmt::Formatter<'_>, licence: &LicenceInfo) -> fmt::Result {
    writeln!(f, "  hostname     {}", licence.hostname.as_deref().unwrap_or("any"))?;
    if let Some(count) = licence.count {
        writeln!(f, "  licences     {count}")?;
    }
    for feature in &licence.features {
        writeln!(f, "  feature      {feature}")?;
    }
    match licence.expires {
        Some(day) => writeln!(f, "  expires      {day}, then {} days of grace", licence.grace_days)?,
        None => writeln!(f, "  expires      never")?,
    }
    match licence.entitled_until {
        Some(day) => writeln!(f, "  entitled     to packages published until {day}"),
        None => Ok(()),
    }
}

impl fmt::Display for SiteInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  hostname     {}", self.hostname)?;
        if let Some(licences) = self.licences {
            writeln!(f, "  licences     {licences}")?;
        }
        match self.expires {
            Some(day) => writeln!(f, "  expires      {day}")?,
            None => writeln!(f, "  expires      never")?,
        }
        for (name, path) in &self.entry_points {
            writeln!(f, "  entry point  {name} at {path}")?;
        }
        Ok(())
    }
}
