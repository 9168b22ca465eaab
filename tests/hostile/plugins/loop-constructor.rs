//! Loops in a constructor, which runs before the first export does. It must not load.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = {
    extern "C" fn constructor() {
        spin()
    }
    constructor
};

export!(Plugin);
