//! Calling an exported function with arguments from the command line.

use crate::report::{Failure, Result};
use crate::{objects, value};
use std::ffi::OsString;
use wardian::{Error, ExternType, FuncType, Instance, Module, Store, Val};

/// A function with its arguments, which fit.
pub(crate) struct Invocation<'a> {
    name: &'a str,
    ty: FuncType,
    args: Vec<Val>,
}

impl<'a> Invocation<'a> {
    /// Parses the arguments by the function's type.
    pub(crate) fn new(module: &Module, name: &'a str, args: &[OsString]) -> Result<Invocation<'a>> {
        let ty = match module.export(name) {
            Some(ExternType::Func(ty)) => ty,
            Some(other) => {
                return Err(Failure::usage(format!("`{name}` is a {other}, not a function")));
            }
            None => {
                let functions = functions(module);
                return Err(Failure::usage(format!(
                    "the module exports no function `{name}`; {functions}"
                )));
            }
        };
        let params = ty.params();
        if args.len() != params.len() {
            let (needs, s) = (params.len(), if params.len() == 1 { "" } else { "s" });
            return Err(Failure::usage(format!(
                "`{name}` takes {needs} argument{s}, but {} were given; its signature is {ty}",
                args.len()
            )));
        }
        let parse = |(i, (text, param)): (usize, (&OsString, &wardian::ValType))| {
            let text = text.to_string_lossy();
            value::parse(*param, &text).map_err(|expected| {
                Failure::usage(format!(
                    "argument {} of `{name}`, `{text}`, is no {param}: {expected}; its signature \
                     is {ty}",
                    i + 1
                ))
            })
        };
        let args = args.iter().zip(params).enumerate().map(parse).collect::<Result<_>>()?;
        Ok(Invocation { name, ty, args })
    }

    /// Calls it, and gives its results, one on each line.
    pub(crate) fn call<T>(
        &self,
        store: &mut Store<T>,
        instance: Instance,
    ) -> wardian::Result<String> {
        let func = instance.get_func(&mut *store, self.name);
        let func = func.ok_or_else(|| Error::host("the function has vanished"))?;
        let mut results: Vec<Val> = self.ty.results().iter().map(|t| Val::zero(*t)).collect();
        func.call(&mut *store, &self.args, &mut results)?;
        let module = instance.module(&*store);
        Ok(results.iter().map(|v| objects::show(&*store, &module, v) + "\n").collect())
    }
}

/// The functions that a module exports, for messages.
pub(crate) fn functions(module: &Module) -> String {
    let functions: Vec<String> = module
        .exports()
        .filter_map(|(name, ty)| match ty {
            ExternType::Func(ty) => Some(format!("\n  {name} {ty}")),
            _ => None,
        })
        .collect();
    if functions.is_empty() {
        return "it exports no functions at all".to_owned();
    }
    format!("it exports these functions:{}", functions.concat())
}
