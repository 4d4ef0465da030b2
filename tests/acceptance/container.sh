# Runs a command as a container would: PID 1 of its own namespaces, without network, on a root that
# can only be read but for /tmp, as a user who is not root and whom nothing belongs to.
#
#   unshare --mount --net --pid --fork --kill-child sh container.sh TMP PROJECT VENV KEEP... -- COMMAND...
#
# KEEP are folders that are to be where they are, also below /tmp. The user may read what is root's
# (CAP_DAC_READ_SEARCH), as a checkout may be in a folder that is closed to others.
set -eu
tmp=$1 project=$2 venv=$3
shift 3
mount --make-rprivate /
mount -t tmpfs none /mnt
number=0
for folder; do
  [ "$folder" = -- ] && break
  number=$((number + 1))
  mkdir "/mnt/$number" && mount --rbind "$folder" "/mnt/$number"
done
mkdir /mnt/tmp /mnt/project /mnt/venv
mount --bind "$tmp" /mnt/tmp
mount --bind "$project" /mnt/project
mount --bind "$venv" /mnt/venv
mount -t tmpfs none /srv && mkdir /srv/project && mount --bind /mnt/project /srv/project
mount -t tmpfs none /opt && mkdir /opt/dbtorch && mount --bind /mnt/venv /opt/dbtorch
mount --bind /mnt/tmp /tmp
number=0
while [ "$1" != -- ]; do
  number=$((number + 1))
  case $1 in /tmp/*) mkdir -p "$1" && mount --rbind "/mnt/$number" "$1" && mount -o remount,bind,ro "$1" ;; esac
  shift
done
shift
mount -o remount,bind,ro /srv/project
mount -o remount,bind,ro /opt/dbtorch
mount -o remount,bind,ro /
mount -t proc proc /proc
cd /srv/project
exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs \
  --inh-caps -all,+dac_read_search --ambient-caps -all,+dac_read_search --bounding-set -all,+dac_read_search "$@"
