use super::{ConfigArgs, Outcome};
use crate::config::Settings;
use crate::plugin::survey;

pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<Outcome> {
    let settings = Settings::load(&args.config)?;
    let survey = survey(&settings.plugins, &settings.policies).map_err(anyhow::Error::msg)?;
    for (name, problem) in &survey.checked {
        match problem {
            None => println!("ok  {name}"),
            Some(problem) => println!("!   {name}: {problem}"),
        }
    }
    let problems = survey.checked.iter().filter(|(_, problem)| problem.is_some()).count();
    println!("{} checked, {problems} with problems", survey.checked.len());
    Ok(if problems == 0 { Outcome::Fine } else { Outcome::NotFine })
}
