use super::super::reserve::fallible;
use super::*;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

fn used(arena: &Arena) -> u16 {
    State::unpack(arena.state.load(Acquire)).used
}

#[test]
fn allocations_are_aligned_distinct_and_survive_growth() {
    let arena = Arena::new();
    // SAFETY: every layout is the one that the pointer was allocated with.
    unsafe {
        let first = arena.alloc(layout(3, 1));
        let second = arena.alloc(layout(8, 8));
        assert_eq!(second as usize % 8, 0);
        first.write_bytes(1, 3);
        second.write_bytes(2, 8);
        let grown = arena.realloc(second, layout(8, 8), 64);
        assert_eq!(grown, second, "the last allocation grows in place");
        let moved = arena.realloc(first, layout(3, 1), 100);
        assert_ne!(moved, first);
        assert_eq!(core::slice::from_raw_parts(moved, 3), [1, 1, 1]);
        let large = arena.alloc(layout(2 * SIZE, 16));
        large.write_bytes(3, 2 * SIZE);
        assert!(arena.unit_of(large).is_none());
        let larger = arena.realloc(large, layout(2 * SIZE, 16), 3 * SIZE);
        assert_eq!(*larger.add(2 * SIZE - 1), 3);
        arena.dealloc(larger, layout(3 * SIZE, 16));
    }
}

#[test]
fn freeing_the_last_allocation_frees_its_units() {
    let arena = Arena::new();
    let layout = layout(1000, 16);
    // SAFETY: every layout is the one that the pointer was allocated with.
    unsafe {
        let kept = arena.alloc(layout);
        for _ in 0..1000 {
            let address = arena.alloc(layout);
            assert!(arena.unit_of(address).is_some());
            arena.dealloc(address, layout);
        }
        for _ in 0..=SIZE / 1000 {
            let address = arena.alloc(layout);
            assert!(!address.is_null(), "a full arena maps memory");
            address.write_bytes(7, 1000);
        }
        kept.write_bytes(7, 1000);
    }
}

#[test]
fn an_arena_starts_over_when_nothing_is_allocated_in_any_order() {
    let arena = Arena::new();
    let layout = layout(100, 8);
    // SAFETY: every layout is the one that the pointer was allocated with.
    unsafe {
        let [a, b, c] = [(); 3].map(|()| arena.alloc(layout));
        arena.dealloc(b, layout);
        assert_ne!(used(&arena), 0);
        arena.dealloc(a, layout);
        assert_ne!(used(&arena), 0);
        arena.dealloc(c, layout);
        assert_eq!(used(&arena), 0);
        assert_eq!(arena.alloc(layout), a);
    }
}

#[test]
fn a_large_allocation_leaves_the_region_to_others() {
    let arena = Arena::new();
    // SAFETY: every layout is the one that the pointer was allocated with.
    unsafe {
        let large = arena.alloc(layout(LARGE, 8));
        assert!(arena.unit_of(large).is_none());
        let small = arena.alloc(layout(LARGE - UNIT, 8));
        assert!(arena.unit_of(small).is_some());
        let grown = arena.realloc(small, layout(LARGE - UNIT, 8), LARGE);
        assert!(arena.unit_of(grown).is_none());
        assert_eq!(used(&arena), 0);
    }
}

#[test]
fn a_caller_that_can_do_without_the_memory_learns_that_there_is_none() {
    let more_than_the_address_space = layout(1 << 60, 8);
    // SAFETY: the layout has a size.
    let address = fallible(|| unsafe { Arena::new().alloc(more_than_the_address_space) });
    assert!(address.is_null());
}

#[test]
fn trimming_keeps_what_is_allocated() {
    let arena = Arena::new();
    let layout = layout(10_000, 8);
    // SAFETY: every layout is the one that the pointer was allocated with.
    unsafe {
        let first = arena.alloc(layout);
        first.write_bytes(5, 10_000);
        let second = arena.alloc(layout);
        second.write_bytes(6, 10_000);
        arena.dealloc(second, layout);
        arena.trim();
        assert_eq!(core::slice::from_raw_parts(first, 10_000), [5; 10_000]);
        assert_eq!(arena.alloc(layout), second);
    }
}
