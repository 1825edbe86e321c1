#!/usr/bin/env bash
# Run inside scripts/systemd-box by test_systemd_service.py: a machine's life with lakewatchd, told into files of $1.
set -eEuxo pipefail
out=$1
exec >"$out/log" 2>&1

trap 'journalctl --no-pager --boot --unit="lakewatchd*" | tail -n 60' ERR

wait_for() { # SECONDS COMMAND...
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $until ] || return 1
        sleep 0.2
    done
}

settled() { # FILE TEXT: what the daemon says when nothing is left to do
    timeout 300 lakewatchd status --wait | tee "$1" | grep "$2"
}

scripts/install --extras systemd,bucket --no-start
scripts/install --extras systemd,bucket --no-start # again: must change nothing
systemd-analyze security --no-pager lakewatchd.service >"$out/security"

install -d -m 755 /srv/photos
mount -t tmpfs -o mode=755 tmpfs /srv/photos # one that fanotify can watch as a whole; the box's own cannot be
printf '\n[[root]]\nname = "photos"\npath = "/srv/photos"\n' >>/etc/lakewatchd/lakewatchd.toml
sed -i 's/^settle_open_s = .*/settle_open_s = 1.0/; s/^listen = "127.0.0.1:8420"/listen = "127.0.0.1:'"$4"'"/' \
    /etc/lakewatchd/lakewatchd.toml
runuser -u lakewatchd -- lakewatchd check >"$out/check" || true
systemctl start lakewatchd lakewatchd-view
systemctl is-active lakewatchd lakewatchd-view >"$out/active"

cp "$2" /srv/photos/red.png
timeout 300 lakewatchd status --wait
wait_for 120 cmp /mnt/lake/by-root/photos/red.png "$2" && echo same >"$out/view"
wait_for 120 runuser -u nobody -- cmp /mnt/lake/by-kind/image/red.png "$2" && echo same >"$out/view-of-others"
wait_for 120 bash -c 'systemctl show --property=StatusText lakewatchd | tee "$0" | grep "1 file; nothing queued"' \
    "$out/status-text" # refreshed every few seconds
systemctl status lakewatchd --no-pager >"$out/systemctl-status"
wait_for 120 bash -c 'systemctl show --property=StatusText lakewatchd-view | tee "$0" | grep "showing 1 file"' \
    "$out/view-status-text"
lakewatchd status --json >"$out/status.json"

systemctl stop lakewatchd
systemctl show --property=Result --property=ExecMainStatus lakewatchd >"$out/stopped"
lakewatchd status --json >"$out/down.json" || echo $? >"$out/down-code"
cmp /mnt/lake/by-root/photos/red.png "$2" && echo same >"$out/view-while-down"

systemctl start lakewatchd
wait_for 120 settled "$out/restarted" "1 file; nothing queued" || true

# Another root, by reload: no restart, no work lost; a wrong file is refused and changes nothing.
pid=$(systemctl show --property=MainPID --value lakewatchd)
install -d /srv/music && echo 'the blue danube' >/srv/music/waltz.txt
head --bytes=300 "$2" >/srv/music/torn.png
printf '\n[[root]]\nname = "music"\npath = "/srv/music"\n' >>/etc/lakewatchd/lakewatchd.toml
systemctl reload lakewatchd
wait_for 120 settled "$out/reloaded" "3 files; nothing queued" || true
wait_for 120 cmp /mnt/lake/by-root/music/waltz.txt /srv/music/waltz.txt || true
echo 'nonsense = 1' >>/etc/lakewatchd/lakewatchd.toml
systemctl reload lakewatchd || echo "refused" >"$out/bad-reload"
sed -i '$d' /etc/lakewatchd/lakewatchd.toml
echo "$pid $(systemctl show --property=MainPID --value lakewatchd)" >"$out/reload-pids"
wait_for 120 bash -c 'journalctl --boot --unit=lakewatchd ROOT=music --output=json >"$0"; grep "job failed" "$0"' \
    "$out/journal-of-music" || true # what was logged is there a little later

# Killed in the middle of a batch, and hung in the middle of another: it comes back and finishes.
restarts() { systemctl show --property=NRestarts --value "$1"; }
for number in $(seq 300); do echo "text $number" >/srv/music/"$number.txt"; done
systemctl kill --signal=KILL lakewatchd
wait_for 120 settled "$out/after-kill" "303 files; nothing queued" || true
for unit in lakewatchd lakewatchd-view; do # as shipped it waits a minute
    install -d /run/systemd/system/$unit.service.d
    printf '[Service]\nWatchdogSec=10\nTimeoutAbortSec=2\nRestartSec=1\n' >/run/systemd/system/$unit.service.d/soon.conf
done
systemctl daemon-reload && systemctl restart lakewatchd lakewatchd-view
sleep 12 # pings keep them alive
echo "$(restarts lakewatchd) $(restarts lakewatchd-view)" >"$out/alive-restarts"
for number in $(seq 301 400); do echo "text $number" >/srv/music/"$number.txt"; done
for unit in lakewatchd lakewatchd-view; do kill -STOP "$(systemctl show --property=MainPID --value $unit)"; done
wait_for 120 bash -c '[ "$(systemctl show --property=NRestarts --value lakewatchd)" = 1 ]'
wait_for 120 settled "$out/after-hang" "403 files; nothing queued" || true
wait_for 120 timeout 10 cmp /mnt/lake/by-root/photos/red.png "$2" && echo same >"$out/view-after-hang"

# Stopped in the middle of a batch: in time, cleanly, and nothing is lost.
for number in $(seq 401 700); do echo "text $number" >/srv/music/"$number.txt"; done
sleep 1
systemctl stop lakewatchd
systemctl show --property=Result --property=ExecMainStatus lakewatchd >"$out/stopped-in-batch"
systemctl start lakewatchd
wait_for 120 settled "$out/after-batch" "703 files; nothing queued" || true

systemctl kill --signal=KILL lakewatchd-view
wait_for 120 cmp /mnt/lake/by-root/photos/red.png "$2" && echo same >"$out/view-after-kill"

# A bucket, by a credential that systemd hands to both services; as docs/howto/minio.md has it.
install -m 600 "$out/cloud.keys" /etc/lakewatchd/cloud.keys
for unit in lakewatchd lakewatchd-view; do
    printf '[Service]\nLoadCredential=cloud:/etc/lakewatchd/cloud.keys\n' >/run/systemd/system/$unit.service.d/cloud.conf
done
printf '\n[[root]]\nname = "cloud"\nbucket = "cloud"\nendpoint = "%s"\n' "$3" >>/etc/lakewatchd/lakewatchd.toml
systemctl daemon-reload && systemctl restart lakewatchd lakewatchd-view
wait_for 120 settled "$out/cloud-status" "704 files; nothing queued" || true
wait_for 120 timeout 10 cmp /mnt/lake/by-root/cloud/2024/red.png "$2" && echo same >"$out/view-of-cloud"
check_finds_nothing_wrong() {
    systemd-run --quiet --pipe --wait --uid=lakewatchd --property=LoadCredential=cloud:/etc/lakewatchd/cloud.keys \
        lakewatchd check >"$out/cloud-check" && ! grep "✗" "$out/cloud-check"
}
wait_for 120 check_finds_nothing_wrong || true # it has its own patience with a server, and this machine may be busy

echo 'nonsense = 1' >>/etc/lakewatchd/lakewatchd.toml
systemctl restart lakewatchd || true
sleep 2 # longer than RestartSec: it must have stayed down
systemctl show --property=ActiveState --property=NRestarts --property=ExecMainStatus lakewatchd >"$out/bad-config"
sed -i '$d' /etc/lakewatchd/lakewatchd.toml

systemctl stop lakewatchd-view
! mountpoint -q /mnt/lake && echo unmounted >"$out/unmounted"
scripts/uninstall
test -e /var/lib/lakewatchd/queue.db && test -e /etc/lakewatchd/lakewatchd.toml && echo kept >"$out/kept"
scripts/uninstall --purge
! test -e /var/lib/lakewatchd && ! getent passwd lakewatchd && cmp /srv/photos/red.png "$2" && echo purged >"$out/purged"
