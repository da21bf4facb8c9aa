//! Declared types of an engine: their numbers and supertypes, and the trampolines of those of functions.
//!
//! ```text
//!   module, host function of a store ── Signature (counted) ──> number
//!                                            │                  trampolines ──> code memory (counted)
//!   engine ── by type, not counted ──────────┘
//! ```
//!
//! Most types are of functions, so a type is called a signature here also where it may be a struct or an array.
//!
//! A trampoline is the code by which the host enters guest functions of a signature, by which guests call
//! host functions of it, or which stands between two kinds of code. Trampolines are made on first need.
//!
//! **Invariant.** A signature lives as long as a module or a host function in a store that has it, and with
//! it its number and its trampolines. So what a guest can call, and what stands on its stack, is there; and
//! an engine that sees new types all the time does not grow.
//!
//! **Invariant.** Equal types have equal numbers as long as both are there. No number is used twice.

use crate::code::compiler::Compiler;
use crate::code::glue::{Glue, Layout};
use crate::error::{LimitKind, UsageKind};
use crate::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, Weak};
use wardian_types::{DeclaredType, FuncType, SubType, TypeNumber};
use wardian_vm::addr::CodeAddr;
use wardian_vm::compiled::{CompiledFunction, TextOffset};
use wardian_vm::heap::Displays;
use wardian_vm::unwind::Saved;

/// A signature of an engine: a type at a position of its group.
#[derive(Clone)]
pub struct Signature {
    group: Arc<Group>,
    at: u32,
}

/// Types that were declared together and may name each other. So they come and go together.
struct Group {
    /// Identifies it: the types, with [`DeclaredType::Group`] where they name each other.
    key: Arc<[SubType]>,
    /// The number of its first type; those of the others follow.
    first: TypeNumber,
    types: Box<[Inner]>,
    /// Keeps the types that are named.
    named: Vec<Signature>,
    all: Weak<Signatures>,
}

/// What is known of a type.
struct Inner {
    /// The types that it names have their numbers.
    ty: SubType,
    /// The numbers of its supertypes, the outermost first, and last its own.
    display: Box<[TypeNumber]>,
    both: OnceLock<Both>,
    /// What notes the caller: only for signatures of functions that are listened to.
    noting: OnceLock<Single>,
    /// By which compiled code calls interpreted functions.
    interpreted: OnceLock<Single>,
}

/// Addresses of the two trampolines of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trampoline {
    /// Host calls guest.
    pub entry: CodeAddr,
    /// Guest calls host.
    pub host: CodeAddr,
}

struct Both {
    trampoline: Trampoline,
    #[expect(dead_code, reason = "keeps the code")]
    code: Arc<Glue>,
}

struct Single {
    address: CodeAddr,
    #[expect(dead_code, reason = "keeps the code")]
    code: Arc<Glue>,
}

/// The signatures of an engine that somebody has.
#[derive(Default)]
pub struct Signatures {
    known: RwLock<Known>,
    /// Supertypes by number, for code; made when a type has some, or may be one.
    displays: OnceLock<Displays>,
    /// The code of trampolines, to find out whether an address is in it.
    code: Mutex<Vec<Weak<Glue>>>,
}

#[derive(Default)]
struct Known {
    by_key: HashMap<Arc<[SubType]>, Weak<Group>>,
    /// By the number of their first type.
    by_number: BTreeMap<TypeNumber, Weak<Group>>,
    /// The number of the next new signature.
    next: u32,
}

impl Signature {
    /// Its number in the engine.
    pub fn number(&self) -> TypeNumber {
        TypeNumber::from_u32(self.group.first.as_u32() + self.at)
    }

    /// The type; those that it names have their numbers.
    pub fn ty(&self) -> &SubType {
        &self.inner().ty
    }

    /// The numbers of its supertypes, the outermost first, and last its own. So a type is a subtype of
    /// another one if it has that one's number where that one has it.
    pub fn display(&self) -> &[TypeNumber] {
        &self.inner().display
    }

    /// The type of functions of which it is the signature.
    fn func(&self) -> Result<&FuncType> {
        self.ty().func().ok_or_else(|| {
            let message = format!("a trampoline for what is no function: {}", self.ty());
            Error::new(ErrorKind::Internal(message))
        })
    }

    fn inner(&self) -> &Inner {
        &self.group.types[self.at as usize]
    }

    /// The trampolines between the host and guests.
    pub(crate) fn trampoline(&self, compiler: &dyn Compiler) -> Result<Trampoline> {
        if let Some(both) = self.inner().both.get() {
            return Ok(both.trampoline);
        }
        prepare(compiler, [self])?;
        self.inner().both.get().map(|both| both.trampoline).ok_or_else(|| {
            Error::new(ErrorKind::Internal("a trampoline just made is missing".into()))
        })
    }

    /// What stands between importers and a function that wants to know who calls.
    pub(crate) fn noting(&self, compiler: &dyn Compiler) -> Result<CodeAddr> {
        let ty = self.func()?;
        self.single(&self.inner().noting, || compiler.noting_trampoline(ty))
    }

    /// What stands between compiled code and an interpreted function.
    pub fn interpreted(&self, compiler: &dyn Compiler) -> Result<CodeAddr> {
        let ty = self.func()?;
        self.single(&self.inner().interpreted, || compiler.host_trampoline(ty))
    }

    /// A trampoline of a kind that is made one by one.
    fn single(
        &self,
        place: &OnceLock<Single>,
        make: impl FnOnce() -> std::result::Result<CompiledFunction, wardian_vm::compiled::CompileError>,
    ) -> Result<CodeAddr> {
        if let Some(single) = place.get() {
            return Ok(single.address);
        }
        let made = make().map_err(|e| self.not_compiled(e))?;
        let mut layout = Layout::default();
        layout.add(&made);
        let code = self.publish(layout)?;
        let address = code.start();
        // Two threads may make the same one; either's will do.
        Ok(place.get_or_init(|| Single { address, code }).address)
    }

    fn publish(&self, layout: Layout) -> Result<Arc<Glue>> {
        let code = layout
            .publish("trampoline")
            .map_err(|e| Error::system("no executable memory for trampolines", e))?;
        let code = Arc::new(code);
        if let Some(all) = self.group.all.upgrade() {
            let mut known = all.code();
            known.retain(|code| code.strong_count() > 0);
            known.push(Arc::downgrade(&code));
        }
        Ok(code)
    }

    fn not_compiled(&self, error: wardian_vm::compiled::CompileError) -> Error {
        Error::compile_part(format!("trampoline for {}", self.inner().ty), error)
    }
}

impl Inner {
    fn new(ty: SubType, display: Box<[TypeNumber]>) -> Inner {
        let (both, noting, interpreted) = Default::default();
        Inner { ty, display, both, noting, interpreted }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Each of 100,000 groups may name the one before: dropping them must not nest.
        let mut named = std::mem::take(&mut self.named);
        while let Some(signature) = named.pop() {
            if let Some(mut group) = Arc::into_inner(signature.group) {
                named.append(&mut group.named);
            }
        }
        let Some(all) = self.all.upgrade() else { return };
        let mut known = all.known.write().unwrap_or_else(|e| e.into_inner());
        known.by_number.remove(&self.first);
        // Somebody may have made it anew meanwhile.
        if known.by_key.get(&self.key).is_some_and(|group| group.strong_count() == 0) {
            known.by_key.remove(&self.key);
        }
    }
}

impl Signatures {
    /// The signature of a type in which all types have their numbers.
    ///
    /// # Errors
    ///
    /// It names a type that the engine does not have, or all numbers are used up.
    pub fn get(self: &Arc<Self>, ty: &FuncType) -> Result<Signature> {
        let ty = &SubType::from(ty.clone());
        // One that names a type of its own group looks like one that names it from outside.
        let mut seen = HashSet::new();
        let own = ty.named().find_map(|index| match index {
            DeclaredType::Engine(number) => {
                let group = self.by_number(number)?.group;
                // Hostile groups are large, and named a thousand times.
                let new = seen.insert(group.first);
                let at = group.types.iter().position(|inner| new && inner.ty == *ty)?;
                Some(Signature { group, at: at as u32 })
            }
            _ => None,
        });
        if let Some(own) = own {
            return Ok(own);
        }
        let group = self.group(std::slice::from_ref(ty))?;
        Ok(Signature { group, at: 0 })
    }

    /// The signatures of types that are declared together, in which [`DeclaredType::Group`] means these.
    ///
    /// # Errors
    ///
    /// As for [`Signatures::get`].
    pub fn of_group(self: &Arc<Self>, key: &[SubType]) -> Result<Vec<Signature>> {
        if key.is_empty() {
            return Ok(Vec::new());
        }
        let group = self.group(key)?;
        Ok((0..key.len() as u32).map(|at| Signature { group: group.clone(), at }).collect())
    }

    fn group(self: &Arc<Self>, key: &[SubType]) -> Result<Arc<Group>> {
        if let Some(found) = self.find(key) {
            return Ok(found);
        }
        let named = self.named(key)?;
        let mut known = self.known.write().unwrap_or_else(|e| e.into_inner());
        if let Some(found) = known.by_key.get(key).and_then(Weak::upgrade) {
            // Those that are named must not be dropped while the lock is held.
            drop(known);
            return Ok(found);
        }
        let first = TypeNumber::from_u32(known.next);
        known.next = known.next.checked_add(key.len() as u32).ok_or_else(|| {
            Error::limit(
                LimitKind::Engine,
                "the engine has seen 2^32 signatures come and go: make a new engine",
            )
        })?;
        let types = inners(key, &named, first);
        if let Err(error) = self.publish(&types, first) {
            drop(known);
            return Err(error);
        }
        let key: Arc<[SubType]> = key.into();
        let group =
            Arc::new(Group { first, types, key: key.clone(), named, all: Arc::downgrade(self) });
        known.by_key.insert(key, Arc::downgrade(&group));
        known.by_number.insert(first, Arc::downgrade(&group));
        Ok(group)
    }

    /// The table of supertypes, if a type of the engine ever had some or could be one.
    pub(crate) fn displays(&self) -> Option<&Displays> {
        self.displays.get()
    }

    /// Writes the rows of new types: those that casts to types with subtypes may find.
    fn publish(&self, types: &[Inner], first: TypeNumber) -> Result<()> {
        for (inner, number) in types.iter().zip((first.as_u32()..).map(TypeNumber::from_u32)) {
            if inner.ty.is_final && inner.ty.supertype.is_none() {
                continue;
            }
            let displays = match self.displays.get() {
                Some(displays) => displays,
                None => {
                    let made = Displays::new().map_err(|error| {
                        Error::system("no memory for a table of supertypes", error)
                    })?;
                    self.displays.get_or_init(|| made)
                }
            };
            if !displays.set(number, &inner.display) {
                return Err(too_many_types());
            }
        }
        Ok(())
    }

    /// The types that a group names, but its own.
    fn named(&self, key: &[SubType]) -> Result<Vec<Signature>> {
        let mut named: Vec<Signature> = Vec::new();
        let mut seen = HashSet::new();
        for (ty, index) in key.iter().flat_map(|ty| ty.named().map(move |index| (ty, index))) {
            let number = match index {
                DeclaredType::Group(at) if (at as usize) < key.len() => continue,
                DeclaredType::Engine(number) => Some(number),
                _ => None,
            };
            if !seen.insert(number) {
                continue;
            }
            named.push(number.and_then(|number| self.by_number(number)).ok_or_else(|| {
                Error::usage(
                    UsageKind::NotFound,
                    format!("{ty} names a type that no module of the engine has"),
                )
            })?);
        }
        Ok(named)
    }

    /// Whether a type is another one or a subtype of it, by their numbers.
    pub(crate) fn is_subtype(&self, sub: TypeNumber, of: TypeNumber) -> bool {
        let supertypes = || self.by_number(sub).is_some_and(|sub| sub.display().contains(&of));
        sub == of || supertypes()
    }

    /// As [`Signatures::is_subtype`], for types as they are written in others.
    pub(crate) fn relation(&self) -> impl Fn(DeclaredType, DeclaredType) -> bool {
        |sub, of| match (sub, of) {
            (DeclaredType::Engine(sub), DeclaredType::Engine(of)) => self.is_subtype(sub, of),
            _ => sub == of,
        }
    }

    /// The type with this number.
    pub(crate) fn by_number(&self, number: TypeNumber) -> Option<Signature> {
        let known = self.known.read().unwrap_or_else(|e| e.into_inner());
        let found = known.by_number.range(..=number).next_back();
        let found = found.and_then(|(first, group)| Some((*first, group.upgrade()?)));
        // As below.
        drop(known);
        let (first, group) = found?;
        let at = number.as_u32() - first.as_u32();
        ((at as usize) < group.types.len()).then_some(Signature { group, at })
    }

    fn find(&self, key: &[SubType]) -> Option<Arc<Group>> {
        let known = self.known.read().unwrap_or_else(|e| e.into_inner());
        // Its last reference must not be dropped while the lock is held.
        known.by_key.get(key).and_then(Weak::upgrade)
    }

    fn code(&self) -> MutexGuard<'_, Vec<Weak<Glue>>> {
        self.code.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Whether an address is in a trampoline.
    pub fn contains(&self, pc: CodeAddr) -> bool {
        self.found(|glue| glue.contains(pc).then_some(())).is_some()
    }

    /// Which registers the trampoline around an address saves in its frame; none if there is no trampoline.
    pub(crate) fn saved_at(&self, pc: CodeAddr) -> Option<Saved> {
        self.found(|glue| glue.saved_at(pc))
    }

    fn found<T>(&self, find: impl Fn(&Glue) -> Option<T>) -> Option<T> {
        let code: Vec<_> = self.code().iter().filter_map(Weak::upgrade).collect();
        code.iter().find_map(|glue| find(glue))
    }

    /// How many signatures there are: for tests.
    pub fn count(&self) -> usize {
        self.known.read().unwrap_or_else(|e| e.into_inner()).by_key.len()
    }
}

/// The error of an engine that has no more numbers for types.
pub(crate) fn too_many_types() -> Error {
    Error::limit(
        LimitKind::Engine,
        format!(
            "the engine has seen {} types come and go, and has no numbers left for structs, arrays and types with \
         subtypes: make a new engine",
            Displays::TYPES
        ),
    )
}

/// What is known of the types of a group. `named` are the types of other groups that it names.
fn inners(key: &[SubType], named: &[Signature], first: TypeNumber) -> Box<[Inner]> {
    let mut inners: Vec<Inner> = Vec::with_capacity(key.len());
    // By number, where a group names many.
    let known: HashMap<TypeNumber, &Signature> = named.iter().map(|ty| (ty.number(), ty)).collect();
    for (ty, number) in key.iter().zip((first.as_u32()..).map(TypeNumber::from_u32)) {
        let supertypes = match ty.supertype {
            // Validation: a supertype is declared before its subtypes.
            Some(DeclaredType::Group(at)) => inners.get(at as usize).map(|inner| &*inner.display),
            Some(DeclaredType::Engine(number)) => known.get(&number).map(|ty| ty.display()),
            _ => None,
        };
        let display = supertypes.unwrap_or_default().iter().copied().chain([number]).collect();
        inners.push(Inner::new(ty.in_group(first), display));
    }
    inners.into()
}

/// Makes the trampolines that are missing, all in one piece of code memory.
pub fn prepare<'a>(
    compiler: &dyn Compiler,
    signatures: impl IntoIterator<Item = &'a Signature>,
) -> Result<()> {
    let mut layout = Layout::default();
    let mut made: Vec<(&Signature, TextOffset, Host)> = Vec::new();
    for signature in signatures {
        let is_made =
            |(other, _, _): &(&Signature, TextOffset, Host)| other.number() == signature.number();
        if signature.inner().both.get().is_some() || made.iter().any(is_made) {
            continue;
        }
        let ty = signature.func()?;
        let fail = |e: wardian_vm::compiled::CompileError| signature.not_compiled(e);
        let entry = layout.add(&compiler.entry_trampoline(ty).map_err(fail)?);
        let host = match wardian_vm::direct_host_stub(ty) {
            Some(stub) => Host::Stub(stub),
            None => Host::Made(layout.add(&compiler.host_trampoline(ty).map_err(fail)?)),
        };
        made.push((signature, entry, host));
    }
    let Some((first, _, _)) = made.first() else { return Ok(()) };
    let code = first.publish(layout)?;
    for (signature, entry, host) in made {
        let entry = code.start().add(entry.index());
        let host = match host {
            Host::Stub(address) => address,
            Host::Made(offset) => code.start().add(offset.index()),
        };
        // Two threads may make the same ones; either's will do.
        let trampoline = Trampoline { entry, host };
        signature.inner().both.get_or_init(|| Both { trampoline, code: code.clone() });
    }
    Ok(())
}

/// How guests call host functions of a signature.
enum Host {
    /// By a stub that fits many signatures, at this address.
    Stub(CodeAddr),
    /// By a trampoline at this offset in the code just made.
    Made(TextOffset),
}
