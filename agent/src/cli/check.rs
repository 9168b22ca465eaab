use super::output::Page;
use super::{ConfigArgs, Outcome};
use crate::config::Settings;
use crate::plugin::{Compiler, Trust, survey};

pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<Outcome> {
    let settings = Settings::load(&args.config)?;
    let (compiler, trust) = (Compiler::new(settings.compiler), Trust::new(settings.trust));
    let survey = survey(&settings.plugins, &settings.policies, compiler, &settings.limits, &trust);
    let survey = survey.map_err(anyhow::Error::msg)?;
    let mut page = Page::default();
    for (name, problem) in &survey.checked {
        match problem {
            None => page.line(format_args!("ok  {name}")),
            Some(problem) => page.line(format_args!("!   {name}: {problem}")),
        }
    }
    let problems = survey.checked.iter().filter(|(_, problem)| problem.is_some()).count();
    page.line(format_args!("{} checked, {problems} with problems", survey.checked.len()));
    page.print()?;
    Ok(if problems == 0 { Outcome::Fine } else { Outcome::NotFine })
}
