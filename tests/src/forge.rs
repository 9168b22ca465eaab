//! Hostile files that no compiler makes: a good component, broken or bent byte by byte, always in the same way.

use anyhow::{Context, Result};
use wasm_encoder::{Encode, Function};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

/// How a module or component begins: the magic number and its version.
const HEADER: usize = 8;
/// The section of a component that holds a core module.
const MODULE: u8 = 1;
/// Sections of a core module.
const TYPES: u8 = 1;
const FUNCTIONS: u8 = 3;
const TABLES: u8 = 4;
const MEMORIES: u8 = 5;
const EXPORTS: u8 = 7;
const START: u8 = 8;
const ELEMENTS: u8 = 9;
const CODE: u8 = 10;
const DATA: u8 = 11;
/// The section of a component that holds imports.
const IMPORTS: u8 = 10;

/// A file to forge: its stem, what it attacks and what must happen, and how it is made of a good component.
#[derive(Debug, Clone, Copy)]
pub struct Forgery {
    /// The file's stem.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// From the good component's bytes.
    pub make: fn(&[u8]) -> Result<Vec<u8>>,
}

/// All of them.
pub const FORGERIES: &[Forgery] = &[
    forgery("file-empty", "Nothing at all: it must not load.", |_| Ok(Vec::new())),
    forgery("file-text", "A script with the ending of a plugin: it must not load.", |_| {
        Ok(b"#!/bin/sh\nreboot\n".into())
    }),
    forgery("file-header-alone", "A component without anything in it: it must not load.", |good| {
        Ok(head(good, HEADER))
    }),
    forgery("file-truncated-early", "Half of the header: it must not load.", |good| Ok(head(good, 5))),
    forgery("file-truncated", "A third of a component: it must not load.", |good| Ok(head(good, good.len() / 3))),
    forgery("file-truncated-late", "A component without its last byte: it must not load.", |good| {
        Ok(head(good, good.len() - 1))
    }),
    forgery("file-too-large", "A component with 65 MiB behind it: it must not be read.", |good| {
        let mut large = good.to_vec();
        large.resize(65 << 20, 0);
        Ok(large)
    }),
    forgery("file-core-module", "A core module instead of a component: it must not load.", |good| {
        Ok(Component::parse(good)?.main()?.bytes())
    }),
    forgery("file-other-line", "Built for a line of the contract that does not exist: it must not load.", |good| {
        Ok(replaced(good, b"remediator@0.1.0", b"remediator@0.9.0"))
    }),
    forgery("file-other-world", "A component that exports something else: it must not load.", |good| {
        Ok(replaced(good, b"remediator@0.1.0", b"redecorate@0.1.0"))
    }),
    forgery("file-name-not-utf8", "The name of its export is no text: it must not load.", |good| {
        Ok(replaced(good, b"remediator@0.1.0", b"remedi\xff\xfeor@0.1.0"))
    }),
    forgery("file-lying-section", "A section that is said to be longer than the file: it must not load.", |good| {
        let mut lie = head(good, HEADER);
        lie.push(MODULE);
        u32::MAX.encode(&mut lie);
        lie.extend(good.iter().skip(HEADER));
        Ok(lie)
    }),
    forgery("file-thousand-imports", "A thousand imports that nobody has: it must not load.", |good| {
        let mut payload = Vec::new();
        1000_u32.encode(&mut payload);
        for number in 0..1000 {
            payload.push(0); // A plain name…
            format!("wish-number{number}").as_str().encode(&mut payload);
            payload.extend([3, 1]); // …of a type: a resource.
        }
        let mut greedy = good.to_vec();
        Section { id: IMPORTS, payload }.write(&mut greedy);
        Ok(greedy)
    }),
    forgery("core-lying-types", "A core module said to have four thousand million types: it must not load.", |good| {
        bent(good, |module| module.claim(TYPES))
    }),
    forgery(
        "core-lying-data",
        "A core module said to have four thousand million pieces of data: it must not load.",
        |good| bent(good, |module| module.claim(DATA)),
    ),
    forgery("core-lying-elements", "A core module said to have as many elements: it must not load.", |good| {
        bent(good, |module| module.claim(ELEMENTS))
    }),
    forgery("core-lying-code", "A core module said to have as many functions: it must not load.", |good| {
        bent(good, |module| module.claim(CODE))
    }),
    forgery("core-huge-memory", "Wants four gigabytes before it has run: it must not start.", |good| {
        bent(good, |module| {
            let mut payload = vec![1, 0];
            65_536_u32.encode(&mut payload);
            module.replace(MEMORIES, payload)
        })
    }),
    forgery("core-huge-table", "Wants a table of nine million elements: it must not start.", |good| {
        bent(good, |module| {
            let mut table = vec![FUNCREF, 0];
            9_000_000_u32.encode(&mut table);
            module.append(TABLES, &table).map(drop)
        })
    }),
    forgery("core-table-growth", "Lets a table grow without end as it starts: it must not start.", |good| {
        bent(good, |module| {
            let table = module.append(TABLES, &[FUNCREF, 0, 0])?;
            let mut body = Function::new([]);
            body.instructions()
                .loop_(wasm_encoder::BlockType::Empty)
                .ref_null(wasm_encoder::HeapType::FUNC)
                .i32_const(1000)
                .table_grow(table)
                .drop()
                .br(0)
                .end()
                .end();
            module.start_with(&body)
        })
    }),
    forgery("core-start-loops", "Loops in its start function: it must not start.", |good| {
        bent(good, |module| {
            let mut body = Function::new([]);
            body.instructions().loop_(wasm_encoder::BlockType::Empty).br(0).end().end();
            module.start_with(&body)
        })
    }),
    forgery(
        "core-claims-list",
        "Answers `detect` with a list of four thousand million findings: it must be stopped.",
        |good| {
            bent(good, |module| {
                let mut body = Function::new([]);
                let at = |offset| wasm_encoder::MemArg { offset, align: 2, memory_index: 0 };
                let answer = 1024;
                let mut code = body.instructions();
                code.i32_const(answer).i32_const(8).i32_store(at(0));
                code.i32_const(answer).i32_const(-1).i32_store(at(4));
                code.i32_const(answer).end();
                module.replace_export("#detect", &body)
            })
        },
    ),
    forgery("core-start-traps", "Traps in its start function: it must not start.", |good| {
        bent(good, |module| {
            let mut body = Function::new([]);
            body.instructions().unreachable().end();
            module.start_with(&body)
        })
    }),
    forgery("compiler-huge-function", "A function of half a million instructions: nobody may wait for it.", |good| {
        bent(good, |module| {
            let mut body = Function::new([(1000, wasm_encoder::ValType::I32)]);
            for number in 0..150_000_u32 {
                let (a, b, c) = (number % 1000, number * 7 % 1000, number * 13 % 1000);
                body.instructions().local_get(a).local_get(b).i32_mul().local_set(c);
            }
            body.instructions().end();
            module.add(&body).map(drop)
        })
    }),
    forgery("compiler-deep-blocks", "A function of 20,000 blocks within each other: nobody may wait for it.", |good| {
        bent(good, |module| {
            let mut body = Function::new([]);
            let depth = 20_000;
            for _ in 0..depth {
                body.instructions().block(wasm_encoder::BlockType::Empty);
            }
            for number in 0..depth {
                body.instructions().i32_const(0).br_if((number % 100).min(depth - number - 1)).end();
            }
            body.instructions().end();
            module.add(&body).map(drop)
        })
    }),
    forgery("compiler-many-functions", "8,000 functions: nobody may wait for them.", |good| {
        bent(good, |module| {
            let mut body = Function::new([(1, wasm_encoder::ValType::I64)]);
            body.instructions().local_get(0).i64_const(3).i64_mul().local_set(0).end();
            (0..8_000).try_for_each(|_| module.add(&body).map(drop))
        })
    }),
    forgery("flipped-start", "A bit of its first section is another: whatever it does, it does to itself.", |good| {
        Ok(flipped(good, 0))
    }),
    forgery("flipped-early", "The same of a bit further on.", |good| Ok(flipped(good, 10))),
    forgery("flipped-quarter", "The same of a bit further on.", |good| Ok(flipped(good, 25))),
    forgery("flipped-middle", "The same of a bit further on.", |good| Ok(flipped(good, 50))),
    forgery("flipped-late", "The same of a bit further on.", |good| Ok(flipped(good, 75))),
    forgery("flipped-end", "The same of a bit of its last section.", |good| Ok(flipped(good, 99))),
];

const FUNCREF: u8 = 0x70;

const fn forgery(name: &'static str, about: &'static str, make: fn(&[u8]) -> Result<Vec<u8>>) -> Forgery {
    Forgery { name, about, make }
}

fn head(bytes: &[u8], length: usize) -> Vec<u8> {
    bytes.iter().take(length).copied().collect()
}

/// With one text put for another of the same length.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, window)| *window == from).map(|(at, _)| at).collect();
    for at in places {
        for (place, byte) in bytes.iter_mut().skip(at).zip(to) {
            *place = *byte;
        }
    }
    bytes
}

/// With one bit flipped, so many per cent into it.
fn flipped(good: &[u8], percent: usize) -> Vec<u8> {
    let at = HEADER + (good.len() - HEADER - 1) * percent / 100;
    let flip = |(place, byte): (usize, &u8)| if place == at { byte ^ 0x10 } else { *byte };
    good.iter().enumerate().map(flip).collect()
}

/// The component with its main module bent.
fn bent(good: &[u8], bend: impl FnOnce(&mut Module) -> Result<()>) -> Result<Vec<u8>> {
    let mut component = Component::parse(good)?;
    let mut module = component.main()?;
    bend(&mut module)?;
    component.put_main(&module)?;
    Ok(component.bytes())
}

/// A section as it stands in the file.
#[derive(Debug, Clone)]
struct Section {
    id: u8,
    payload: Vec<u8>,
}

impl Section {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.id);
        self.payload.as_slice().encode(out);
    }
}

fn sections(bytes: &[u8]) -> Result<Vec<Section>> {
    let mut sections = Vec::new();
    let mut rest = bytes.get(HEADER..).context("no header")?;
    while let [id, after @ ..] = rest {
        let (length, after) = number(after)?;
        let payload = after.get(..length).context("a section longer than the file")?;
        sections.push(Section { id: *id, payload: payload.to_vec() });
        rest = after.get(length..).unwrap_or_default();
    }
    Ok(sections)
}

/// A number in LEB128, and what follows it.
fn number(bytes: &[u8]) -> Result<(usize, &[u8])> {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).context("a number without end")?;
    let digits = bytes.iter().take(end + 1).enumerate();
    let value = digits.map(|(place, byte)| usize::from(byte & 0x7f) << (7 * place)).sum();
    Ok((value, bytes.get(end + 1..).unwrap_or_default()))
}

/// A component, as its sections.
struct Component {
    header: Vec<u8>,
    sections: Vec<Section>,
}

impl Component {
    fn parse(bytes: &[u8]) -> Result<Self> {
        Ok(Self { header: head(bytes, HEADER), sections: sections(bytes)? })
    }

    fn main_section(&mut self) -> Result<&mut Section> {
        let modules = self.sections.iter_mut().filter(|section| section.id == MODULE);
        modules.max_by_key(|section| section.payload.len()).context("a component without a module")
    }

    /// The plugin itself: of its modules the largest.
    fn main(&mut self) -> Result<Module> {
        Module::parse(&self.main_section()?.payload)
    }

    fn put_main(&mut self, module: &Module) -> Result<()> {
        self.main_section()?.payload = module.bytes();
        Ok(())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.clone();
        self.sections.iter().for_each(|section| section.write(&mut bytes));
        bytes
    }
}

/// A core module, as its sections.
struct Module {
    header: Vec<u8>,
    sections: Vec<Section>,
    imported_functions: u32,
    /// The type of functions that take and return nothing, once there is one.
    nothing: Option<u32>,
}

impl Module {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut imported_functions = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            if let Payload::ImportSection(imports) = payload? {
                for import in imports.into_imports() {
                    imported_functions += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
        }
        Ok(Self { header: head(bytes, HEADER), sections: sections(bytes)?, imported_functions, nothing: None })
    }

    fn section(&mut self, id: u8) -> Result<&mut Section> {
        self.sections.iter_mut().find(|section| section.id == id).with_context(|| format!("no section {id}"))
    }

    fn replace(&mut self, id: u8, payload: Vec<u8>) -> Result<()> {
        self.section(id)?.payload = payload;
        Ok(())
    }

    /// Says that a section has far more entries than it has.
    fn claim(&mut self, id: u8) -> Result<()> {
        let section = self.section(id)?;
        let (_, entries) = number(&section.payload)?;
        let mut payload = Vec::new();
        u32::MAX.encode(&mut payload);
        payload.extend(entries);
        section.payload = payload;
        Ok(())
    }

    /// Adds an entry at the end of a section, and returns its number.
    fn append(&mut self, id: u8, entry: &[u8]) -> Result<u32> {
        let section = self.section(id)?;
        let (count, entries) = number(&section.payload)?;
        let count = u32::try_from(count)?;
        let mut payload = Vec::with_capacity(section.payload.len() + entry.len() + 1);
        (count + 1).encode(&mut payload);
        payload.extend(entries);
        payload.extend(entry);
        section.payload = payload;
        Ok(count)
    }

    /// Adds a function that takes and returns nothing, and returns its number.
    fn add(&mut self, body: &Function) -> Result<u32> {
        let nothing = match self.nothing {
            Some(nothing) => nothing,
            None => self.append(TYPES, &[0x60, 0, 0])?,
        };
        self.nothing = Some(nothing);
        let mut entry = Vec::new();
        nothing.encode(&mut entry);
        let local = self.append(FUNCTIONS, &entry)?;
        let mut code = Vec::new();
        body.encode(&mut code);
        self.append(CODE, &code)?;
        Ok(self.imported_functions + local)
    }

    /// Puts another body behind an export, of the same type.
    fn replace_export(&mut self, ending: &str, body: &Function) -> Result<()> {
        let bytes = self.bytes();
        let (mut types, mut exports) = (Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(&bytes) {
            match payload? {
                Payload::FunctionSection(functions) => types = functions.into_iter().collect::<Result<_, _>>()?,
                Payload::ExportSection(section) => exports = section.into_iter().collect::<Result<_, _>>()?,
                _ => {}
            }
        }
        let is_it = |name: &str| name.ends_with(ending) && !name.starts_with("cabi_post");
        let export = exports.iter_mut().find(|export| is_it(export.name)).context("no such export")?;
        let ty = types.get((export.index - self.imported_functions) as usize).context("no such function")?;
        let mut entry = Vec::new();
        ty.encode(&mut entry);
        export.index = self.imported_functions + self.append(FUNCTIONS, &entry)?;
        let mut code = Vec::new();
        body.encode(&mut code);
        self.append(CODE, &code)?;
        let mut payload = Vec::new();
        u32::try_from(exports.len())?.encode(&mut payload);
        for export in &exports {
            export.name.encode(&mut payload);
            payload.push(match export.kind {
                ExternalKind::Func | ExternalKind::FuncExact => 0,
                ExternalKind::Table => 1,
                ExternalKind::Memory => 2,
                ExternalKind::Global => 3,
                ExternalKind::Tag => 4,
            });
            export.index.encode(&mut payload);
        }
        self.replace(EXPORTS, payload)
    }

    /// Has this run before anything else does.
    fn start_with(&mut self, body: &Function) -> Result<()> {
        let function = self.add(body)?;
        let mut payload = Vec::new();
        function.encode(&mut payload);
        let place =
            self.sections.iter().position(|section| (ELEMENTS..=DATA).contains(&section.id) || section.id == 12);
        let place = place.context("a module without code")?;
        self.sections.insert(place, Section { id: START, payload });
        Ok(())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.clone();
        self.sections.iter().for_each(|section| section.write(&mut bytes));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component of one module with a function in it.
    fn component() -> Vec<u8> {
        use wasm_encoder::{CodeSection, FunctionSection, ModuleSection, TypeSection};
        let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
        types.ty().function([], []);
        functions.function(0);
        let mut body = Function::new([]);
        body.instructions().end();
        code.function(&body);
        let mut module = wasm_encoder::Module::new();
        module.section(&types).section(&functions).section(&code);
        let mut component = wasm_encoder::Component::new();
        component.section(&ModuleSection(&module));
        component.finish()
    }

    fn is_valid(bytes: &[u8]) -> bool {
        wasmparser::Validator::new().validate_all(bytes).is_ok()
    }

    #[test]
    fn what_is_bent_is_well_formed_otherwise() {
        let good = component();
        assert!(is_valid(&good));
        assert_eq!(Component::parse(&good).unwrap().bytes(), good);
        let is_meant_to_be = |name: &str| name.starts_with("compiler") || name.starts_with("core-start");
        for forgery in FORGERIES.iter().filter(|forgery| is_meant_to_be(forgery.name)) {
            let forged = (forgery.make)(&good).unwrap();
            assert!(is_valid(&forged), "{}", forgery.name);
            assert_ne!(forged, good);
        }
        let lie = FORGERIES.iter().find(|forgery| forgery.name == "core-lying-code").unwrap();
        assert!(!is_valid(&(lie.make)(&good).unwrap()));
    }
}
