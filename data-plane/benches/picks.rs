//! What a pick costs, by algorithm and number of backends: `cargo bench -p weir-data-plane --features bench`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use weir_data_plane::bench::Backends;
use weir_proto::{LbPolicy, LeastRequest, Maglev, PeakEwma, ReportedLoad, RingHash};

fn picks(criterion: &mut Criterion) {
    let policies = [
        LbPolicy::RoundRobin,
        LbPolicy::Random,
        LbPolicy::LeastRequest(LeastRequest::default()),
        LbPolicy::PeakEwma(PeakEwma::default()),
        LbPolicy::RingHash(RingHash::default()),
        LbPolicy::Maglev(Maglev::default()),
        LbPolicy::ClientSideWeightedRoundRobin(ReportedLoad::default()),
    ];
    for policy in policies {
        let mut group = criterion.benchmark_group(policy.as_str());
        for n in [3, 100, 10_000] {
            let Some(backends) = Backends::new(policy.clone(), n) else { continue };
            let mut key = 0u64;
            group.bench_function(BenchmarkId::from_parameter(n), |bencher| {
                bencher.iter(|| {
                    key = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    backends.pick(black_box(key))
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, picks);
criterion_main!(benches);
