# A superuser takes content off pushed events as an erasure does (right commitments), without any erased event, and makes the rows as they then fold.
source /tmp/attack-su/env.sh
PGDATABASE=postgres; dropdb --if-exists --force t; createdb -T ops t; rm -rf $scratch/t.store; cp -a $scratch/store $scratch/t.store; PGDATABASE=t
ask -d t -c 'SELECT ledger.settle_home(0)' >/dev/null
export OPS_DATABASE_URL=$(url t) OPS_STORE=$scratch/t.store
# commitments are taken from the erased copy `h2`/forger
ask -d forger -c "COPY (SELECT entry,index,encode(commitment,'hex') FROM ledger.events WHERE commitment IS NOT NULL) TO STDOUT" > $scratch/com
{ echo "CREATE TEMP TABLE com (e bigint, i int, c text); COPY com FROM STDIN;"; cat $scratch/com; echo '\.'; 
echo "UPDATE ledger.events v SET content=NULL, salt=NULL, commitment=decode(c,'hex') FROM com WHERE (v.entry,v.index)=(e,i);"; } | forge -d t
o verify | tail -4; o archive push; o archive verify | tail -3; o restore; o rebuild; o verify | tail -3; o restore; o archive push; o doctor | grep FAIL
ask -d t -c "select count(*) from ledger.events where commitment is not null"
