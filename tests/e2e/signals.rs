//! Signals that are sent to daemons for other purposes than to end them, end neither of them.

use weir_tests::{Process, Signal, get};

#[tokio::test(flavor = "multi_thread")]
async fn only_signals_to_end_end_a_daemon_and_the_others_are_told_of() {
    for program in ["weir-control-plane", "weir-data-plane"] {
        let mut command = Process::command(program);
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        if program == "weir-control-plane" {
            command.args(["--store", "memory"]);
        } else {
            command.args(["--lame-duck", "0s", "--control-plane", "http://127.0.0.1:1"]);
        }
        let mut process = Process::spawn(command);
        let admin = process.address("admin").await;
        for (signal, name) in [
            (Signal::HUP, "SIGHUP"),
            (Signal::USR1, "SIGUSR1"),
            (Signal::USR2, "SIGUSR2"),
            (Signal::ALARM, "SIGALRM"),
        ] {
            process.signal(signal);
            process.line(name).await;
        }
        process.signal(Signal::PIPE);
        assert_eq!(get(admin, "/livez").await.unwrap().status(), 200, "{program}");
        process.signal(Signal::TERM);
        assert_eq!(process.exit().await.code(), Some(0), "{program}: {}", process.output());
    }
}
